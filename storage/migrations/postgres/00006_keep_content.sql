-- +goose Up
-- Whether an organization keeps the prompts and answers of its calls.
alter table organizations add column keep_content boolean not null default false;

-- +goose Up
-- Who vouches for a user at a sign-on, and how they are called there.
alter table users add column issuer text not null default '';
alter table users add column subject text not null default '';
create unique index users_subject on users (org_id, issuer, subject) where issuer <> '';

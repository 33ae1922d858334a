-- +goose Up
-- What a call did not cost because its answer was kept, in billionths of a dollar; and of a call that is a copy of another one
-- which one that is, and how the two compare, as JSON.
alter table calls add column saved bigint not null default 0;
alter table calls add column mirror text not null default '';
alter table usage_minutes add column saved bigint not null default 0;
alter table usage_hours add column saved bigint not null default 0;
alter table usage_days add column saved bigint not null default 0;

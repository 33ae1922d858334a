-- +goose Up
create table providers (
  id text primary key, org_id text not null, name text not null, settings text not null, api_key text not null, key_hint text not null,
  rev bigint not null, changed bigint not null, created_us bigint not null, updated_us bigint not null, deleted_us bigint not null default 0
);
create unique index providers_name on providers (org_id, name) where deleted_us = 0;
create index providers_changed on providers (changed);

create table routes (
  id text primary key, org_id text not null, name text not null, settings text not null, providers text not null,
  rev bigint not null, changed bigint not null, created_us bigint not null, updated_us bigint not null, deleted_us bigint not null default 0
);
create unique index routes_name on routes (org_id, name) where deleted_us = 0;
create index routes_changed on routes (changed);

-- +goose Up
create table vel_schema (oldest bigint not null); -- the version that a program must know at least
insert into vel_schema values (1);
create table config_rev (rev bigint not null);
insert into config_rev values (1);

create table organizations (
  id text primary key, org_id text not null, name text not null, disabled boolean not null,
  rev bigint not null, changed bigint not null, created_us bigint not null, updated_us bigint not null, deleted_us bigint not null default 0
);
create unique index organizations_name on organizations (name) where deleted_us = 0;
create index organizations_changed on organizations (changed);

create table teams (
  id text primary key, org_id text not null, name text not null,
  rev bigint not null, created_us bigint not null, updated_us bigint not null
);
create unique index teams_name on teams (org_id, name);
create index teams_list on teams (org_id, id);

create table roles (
  id text primary key, org_id text not null, name text not null, permissions text not null,
  rev bigint not null, created_us bigint not null, updated_us bigint not null
);
create unique index roles_name on roles (org_id, name);
create index roles_list on roles (org_id, id);

create table users (
  id text primary key, org_id text not null, name text not null, email text not null, password text not null, roles text not null, teams text not null,
  disabled boolean not null, last_login_us bigint not null,
  rev bigint not null, created_us bigint not null, updated_us bigint not null
);
create unique index users_email on users (org_id, email);
create index users_list on users (org_id, id);
create index users_sign_in on users (email);

create table keys (
  id text primary key, org_id text not null, name text not null, team_id text not null, user_id text not null,
  hash text not null, old_hash text not null, old_until_us bigint not null, models text not null, role text not null,
  shut boolean not null default false, -- its user is disabled
  expires_us bigint not null, disabled boolean not null,
  rev bigint not null, changed bigint not null, created_us bigint not null, updated_us bigint not null, deleted_us bigint not null default 0
);
create unique index keys_name on keys (org_id, name) where deleted_us = 0;
create unique index keys_hash on keys (hash) where deleted_us = 0;
create index keys_list on keys (org_id, id) where deleted_us = 0;
create index keys_changed on keys (changed);
create index keys_old_hash on keys (old_hash) where old_hash <> '';
create index keys_team on keys (org_id, team_id) where deleted_us = 0;
create index keys_user on keys (org_id, user_id) where deleted_us = 0;

create table key_usage (key_id text primary key, org_id text not null, last_used_us bigint not null);

create table sessions (
  id text primary key, org_id text not null, user_id text not null references users (id) on delete cascade, hash text not null,
  began_us bigint not null, created_us bigint not null, expires_us bigint not null, address text not null, agent text not null
);
create unique index sessions_hash on sessions (hash);
create index sessions_user on sessions (org_id, user_id);
create index sessions_expires on sessions (expires_us);

create table idempotency (
  org_id text not null, id text not null, request text not null, status bigint not null, answer text not null, created_us bigint not null,
  primary key (org_id, id)
);
create index idempotency_created on idempotency (created_us);

create table stored_objects (
  org_id text not null, id text not null, provider text not null, kind text not null, created_us bigint not null,
  primary key (org_id, id, provider)
);
create unique index stored_objects_id on stored_objects (provider, id);
create index stored_objects_list on stored_objects (org_id, kind, created_us, id);
create index stored_objects_age on stored_objects (kind, created_us);

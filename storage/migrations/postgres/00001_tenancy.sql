-- +goose Up
-- The roles vel_app, vel_system and vel_ingest belong to the server and are made before.
create table vel_schema (oldest bigint not null); -- the version that a program must know at least
insert into vel_schema values (1);
create table config_rev (rev bigint not null);
insert into config_rev values (1);

create table organizations (
  id text collate "C" primary key, org_id text collate "C" not null, name text not null, disabled boolean not null,
  rev bigint not null, changed bigint not null, created_us bigint not null, updated_us bigint not null, deleted_us bigint not null default 0
);
create unique index organizations_name on organizations (name) where deleted_us = 0;
create index organizations_changed on organizations (changed);

create table teams (
  id text collate "C" primary key, org_id text collate "C" not null, name text not null,
  rev bigint not null, created_us bigint not null, updated_us bigint not null
);
create unique index teams_name on teams (org_id, name);
create index teams_list on teams (org_id, id);

create table roles (
  id text collate "C" primary key, org_id text collate "C" not null, name text not null, permissions text not null,
  rev bigint not null, created_us bigint not null, updated_us bigint not null
);
create unique index roles_name on roles (org_id, name);
create index roles_list on roles (org_id, id);

create table users (
  id text collate "C" primary key, org_id text collate "C" not null, name text not null, email text not null, password text not null, roles text not null, teams text not null,
  disabled boolean not null, last_login_us bigint not null,
  rev bigint not null, created_us bigint not null, updated_us bigint not null
);
create unique index users_email on users (org_id, email);
create index users_list on users (org_id, id);
create index users_sign_in on users (email);

create table keys (
  id text collate "C" primary key, org_id text collate "C" not null, name text not null, team_id text collate "C" not null, user_id text collate "C" not null,
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

create table key_usage (key_id text collate "C" primary key, org_id text collate "C" not null, last_used_us bigint not null);

create table sessions (
  id text collate "C" primary key, org_id text collate "C" not null, user_id text collate "C" not null references users (id) on delete cascade, hash text not null,
  began_us bigint not null, created_us bigint not null, expires_us bigint not null, address text not null, agent text not null
);
create unique index sessions_hash on sessions (hash);
create index sessions_user on sessions (org_id, user_id);
create index sessions_expires on sessions (expires_us);

create table idempotency (
  org_id text collate "C" not null, id text collate "C" not null, request text not null, status bigint not null, answer text not null, created_us bigint not null,
  primary key (org_id, id)
);
create index idempotency_created on idempotency (created_us);

create table stored_objects (
  org_id text collate "C" not null, id text collate "C" not null, provider text collate "C" not null, kind text collate "C" not null, created_us bigint not null,
  primary key (org_id, id, provider)
);
create unique index stored_objects_id on stored_objects (provider, id);
create index stored_objects_list on stored_objects (org_id, kind, created_us, id);
create index stored_objects_age on stored_objects (kind, created_us);

-- Who listens learns of each change when it is committed.
-- +goose StatementBegin
create function config_rev_notify() returns trigger language plpgsql as $$
begin
  perform pg_notify('vel_config', new.rev::text);
  return null;
end $$;
-- +goose StatementEnd
create trigger config_rev_notify after update on config_rev for each row execute function config_rev_notify();

grant select, update on config_rev to vel_app, vel_system;
grant select, insert, update, delete on organizations, teams, roles, users, keys, key_usage, sessions, idempotency, stored_objects to vel_app;
grant select on organizations, teams, roles, users, keys, key_usage, sessions, idempotency, stored_objects to vel_system;
grant delete on sessions, idempotency, stored_objects to vel_system;
grant select (id, org_id, deleted_us) on keys to vel_ingest;
grant select, insert, update on key_usage to vel_ingest;
grant select, insert on stored_objects to vel_ingest;

-- Every table of tenants: one organization's rows, and without an organization none, for the owner too. The login role
-- is a member of all three roles and so inherits their policies: they ask which of them was taken.
-- +goose StatementBegin
do $$
declare t text;
begin
  foreach t in array array['organizations', 'teams', 'roles', 'users', 'keys', 'key_usage', 'sessions', 'idempotency', 'stored_objects'] loop
    execute format('alter table %I enable row level security', t);
    execute format('alter table %I force row level security', t);
    execute format(
      $policy$create policy %I on %I to vel_app
        using (org_id = (select nullif(current_setting('vel.org', true), '')))
        with check (org_id = (select nullif(current_setting('vel.org', true), '')))$policy$, t || '_tenant', t);
  end loop;
  foreach t in array array['organizations', 'teams', 'roles', 'users', 'keys', 'key_usage', 'sessions', 'stored_objects', 'idempotency'] loop
    execute format('create policy %I on %I for select to vel_system using (current_user = ''vel_system'')', t || '_system', t);
  end loop;
end $$;
-- +goose StatementEnd
create policy sessions_delete on sessions for delete to vel_system using (current_user = 'vel_system');
create policy idempotency_delete on idempotency for delete to vel_system using (current_user = 'vel_system');
create policy stored_objects_delete on stored_objects for delete to vel_system using (current_user = 'vel_system');
create policy keys_ingest on keys for select to vel_ingest using (current_user = 'vel_ingest');
create policy key_usage_ingest on key_usage to vel_ingest using (current_user = 'vel_ingest') with check (current_user = 'vel_ingest');
create policy stored_objects_ingest on stored_objects to vel_ingest using (current_user = 'vel_ingest') with check (current_user = 'vel_ingest');

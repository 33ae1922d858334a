-- +goose Up
create table providers (
  id text collate "C" primary key, org_id text collate "C" not null, name text not null, settings text not null, api_key text not null, key_hint text not null,
  rev bigint not null, changed bigint not null, created_us bigint not null, updated_us bigint not null, deleted_us bigint not null default 0
);
create unique index providers_name on providers (org_id, name) where deleted_us = 0;
create index providers_changed on providers (changed);

create table routes (
  id text collate "C" primary key, org_id text collate "C" not null, name text not null, settings text not null, providers text not null,
  rev bigint not null, changed bigint not null, created_us bigint not null, updated_us bigint not null, deleted_us bigint not null default 0
);
create unique index routes_name on routes (org_id, name) where deleted_us = 0;
create index routes_changed on routes (changed);

grant select, insert, update, delete on providers, routes to vel_app;
grant select on providers, routes to vel_system;

-- As every table that has an organization.
-- +goose StatementBegin
do $$
declare t text;
begin
  foreach t in array array['providers', 'routes'] loop
    execute format('alter table %I enable row level security', t);
    execute format('alter table %I force row level security', t);
    execute format(
      $policy$create policy %I on %I to vel_app
        using (org_id = (select nullif(current_setting('vel.org', true), '')))
        with check (org_id = (select nullif(current_setting('vel.org', true), '')))$policy$, t || '_tenant', t);
    execute format('create policy %I on %I for select to vel_system using (current_user = ''vel_system'')', t || '_system', t);
  end loop;
end $$;
-- +goose StatementEnd

-- +goose Up
-- Configurations of chats that have a name.
create table agents (
  id text collate "C" primary key, org_id text collate "C" not null, name text not null, config text not null, active boolean not null, version bigint not null,
  rev bigint not null, created_us bigint not null, updated_us bigint not null
);
create unique index agents_name on agents (org_id, name);
create index agents_list on agents (org_id, id);

-- What they were: nobody changes it, and it outlives them.
create table agent_versions (
  org_id text collate "C" not null, agent_id text collate "C" not null, version bigint not null, at_us bigint not null, by_id text not null, by_name text not null, name text not null, config text not null,
  primary key (agent_id, version)
);

-- The models for the second try of a task, the third and so on.
alter table tasks add column fallbacks text not null default '[]';

-- +goose StatementBegin
do $$
declare t text;
begin
  foreach t in array array['agents', 'agent_versions'] loop
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

grant select, insert, update, delete on agents, agent_versions to vel_app;
grant select on agents, agent_versions to vel_system;

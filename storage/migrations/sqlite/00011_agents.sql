-- +goose Up
-- Configurations of chats that have a name.
create table agents (
  id text primary key, org_id text not null, name text not null, config text not null, active boolean not null, version bigint not null,
  rev bigint not null, created_us bigint not null, updated_us bigint not null
);
create unique index agents_name on agents (org_id, name);
create index agents_list on agents (org_id, id);

-- What they were: nobody changes it, and it outlives them.
create table agent_versions (
  org_id text not null, agent_id text not null, version bigint not null, at_us bigint not null, by_id text not null, by_name text not null, name text not null, config text not null,
  primary key (agent_id, version)
) without rowid;

-- The models for the second try of a task, the third and so on.
alter table tasks add column fallbacks text not null default '[]';

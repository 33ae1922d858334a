-- +goose Up
create table audit_events (
  org_id text collate "C" not null, id text collate "C" not null, time_us bigint not null, action text not null, outcome text not null, reason text not null, count bigint not null,
  by_org text not null, by_user text not null, by_key text not null, by_session text not null, by_name text not null, by_email text not null,
  address text not null, agent text not null, request text not null,
  object_kind text not null, object_id text not null, object_name text not null, before text not null, after text not null,
  seal bigint not null, place bigint not null, leaf text not null,
  primary key (org_id, time_us, id)
) partition by range (time_us);
-- What comes on a day that has no partition of its own. Nobody reads a partition but through audit_events.
create table audit_events_other partition of audit_events default;
alter table audit_events_other enable row level security;
alter table audit_events_other force row level security;
create index audit_events_pending on audit_events (time_us, id) where seal = 0;
create index audit_events_sealed on audit_events (org_id, seal, place);

create table audit_seals (
  org_id text collate "C" not null, number bigint not null, time_us bigint not null, count bigint not null, first text not null, last text not null,
  earliest_us bigint not null, latest_us bigint not null, root text not null, previous text not null, hash text not null,
  primary key (org_id, number)
);
create index audit_seals_latest on audit_seals (org_id, latest_us);
create index audit_seals_chains on audit_seals (org_id) where number = 1;

create table audit_heads (
  org_id text collate "C" not null primary key, number bigint not null, time_us bigint not null, seal bigint not null, hash text not null,
  kept_from_us bigint not null, key text not null, signature text not null
);
create table audit_checkpoints (
  org_id text collate "C" not null, number bigint not null, time_us bigint not null, seal bigint not null, hash text not null,
  kept_from_us bigint not null, key text not null, signature text not null,
  primary key (org_id, number)
);
create index audit_checkpoints_seal on audit_checkpoints (org_id, seal);

-- Who does what only one node may do: its holder raises beat each second, and who sees it stand still takes it over.
create table leases (name text not null primary key, holder text not null, beat bigint not null);
insert into leases values ('audit', '', 0);

grant select, update on leases to vel_system;
-- Nobody changes what an event says, and nobody but the leader makes a chain of them.
grant select, insert on audit_events to vel_app;
grant insert on audit_events to vel_ingest;
grant select, delete, update (seal, place, leaf) on audit_events to vel_system;
grant select on audit_seals, audit_heads, audit_checkpoints to vel_app;
grant select, insert on audit_seals, audit_checkpoints to vel_system;
grant select, insert, update (number, time_us, seal, hash, kept_from_us, key, signature) on audit_heads to vel_system;

-- +goose StatementBegin
do $$
declare t text;
begin
  foreach t in array array['audit_events', 'audit_seals', 'audit_heads', 'audit_checkpoints'] loop
    execute format('alter table %I enable row level security', t);
    execute format('alter table %I force row level security', t);
    execute format(
      $policy$create policy %I on %I to vel_app
        using (org_id = (select nullif(current_setting('vel.org', true), '')))
        with check (org_id = (select nullif(current_setting('vel.org', true), '')))$policy$, t || '_tenant', t);
    execute format('create policy %I on %I to vel_system using (current_user = ''vel_system'') with check (current_user = ''vel_system'')', t || '_system', t);
  end loop;
end $$;
-- +goose StatementEnd
create policy audit_events_unsealed on audit_events as restrictive for insert with check (seal = 0);
create policy audit_events_ingest on audit_events for insert to vel_ingest with check (current_user = 'vel_ingest');

-- +goose Up
create table audit_events (
  org_id text not null, id text not null, time_us bigint not null, action text not null, outcome text not null, reason text not null, count bigint not null,
  by_org text not null, by_user text not null, by_key text not null, by_session text not null, by_name text not null, by_email text not null,
  address text not null, agent text not null, request text not null,
  object_kind text not null, object_id text not null, object_name text not null, before text not null, after text not null,
  seal bigint not null, place bigint not null, leaf text not null,
  primary key (org_id, time_us, id)
);
create index audit_events_pending on audit_events (time_us, id) where seal = 0;
create index audit_events_sealed on audit_events (org_id, seal, place);

create table audit_seals (
  org_id text not null, number bigint not null, time_us bigint not null, count bigint not null, first text not null, last text not null,
  earliest_us bigint not null, latest_us bigint not null, root text not null, previous text not null, hash text not null,
  primary key (org_id, number)
);
create index audit_seals_latest on audit_seals (org_id, latest_us);
create index audit_seals_chains on audit_seals (org_id) where number = 1;

create table audit_heads (
  org_id text not null primary key, number bigint not null, time_us bigint not null, seal bigint not null, hash text not null,
  kept_from_us bigint not null, key text not null, signature text not null
);
create table audit_checkpoints (
  org_id text not null, number bigint not null, time_us bigint not null, seal bigint not null, hash text not null,
  kept_from_us bigint not null, key text not null, signature text not null,
  primary key (org_id, number)
);
create index audit_checkpoints_seal on audit_checkpoints (org_id, seal);

-- Who does what only one node may do: its holder raises beat each second, and who sees it stand still takes it over.
create table leases (name text not null primary key, holder text not null, beat bigint not null);
insert into leases values ('audit', '', 0);

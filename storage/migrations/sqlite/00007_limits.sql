-- +goose Up
-- How fast the calls of a scope may come: those of an organization, or of one team, user, key or route of it. The name is that of the scope.
create table limits (
  id text primary key, org_id text not null, name text not null,
  team_id text not null, user_id text not null, key_id text not null, route text not null,
  rpm bigint not null, rph bigint not null, rpd bigint not null, tpm bigint not null, tph bigint not null, tpd bigint not null, in_flight bigint not null, burst bigint not null,
  on_store_failure text not null,
  rev bigint not null, changed bigint not null, created_us bigint not null, updated_us bigint not null, deleted_us bigint not null default 0
);
create unique index limits_name on limits (org_id, name) where deleted_us = 0;
create index limits_changed on limits (changed);

-- What the calls of a scope may cost in each window of the calendar.
create table budgets (
  id text primary key, org_id text not null, name text not null,
  team_id text not null, user_id text not null, key_id text not null, tag_key text not null, tag_value text not null,
  usd bigint not null, per text not null, timezone text not null, warn_at bigint not null, hard boolean not null, on_store_failure text not null,
  rev bigint not null, changed bigint not null, created_us bigint not null, updated_us bigint not null, deleted_us bigint not null default 0
);
create unique index budgets_name on budgets (org_id, name) where deleted_us = 0;
create index budgets_changed on budgets (changed);

-- What each call cost each of its budgets, in billionths of a dollar; entry counts what is said of one call. The window is the one
-- in which the call was admitted, named by its start; 0 is for ever.
create table ledger (
  org_id text not null, budget_id text not null, window_us bigint not null, call_id text not null, entry bigint not null, begun_us bigint not null,
  held bigint not null, spent bigint not null, overrun bigint not null,
  primary key (begun_us, budget_id, call_id, entry)
) without rowid;
create index ledger_window on ledger (budget_id, window_us, begun_us);

-- The sums of the ledger. They are written with its rows, and outlive them. Each node has its own: nobody waits for another one.
create table ledger_sums (
  org_id text not null, budget_id text not null, window_us bigint not null, node text not null,
  entries bigint not null, held bigint not null, spent bigint not null, overrun bigint not null,
  primary key (budget_id, window_us, node)
) without rowid;
create index ledger_sums_org on ledger_sums (org_id, budget_id, window_us);

-- At which percents of which budgets was warned.
create table budget_notices (
  org_id text not null, budget_id text not null, window_us bigint not null, percent bigint not null, at_us bigint not null,
  primary key (budget_id, window_us, percent)
);

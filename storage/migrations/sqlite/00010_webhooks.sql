-- +goose Up
-- Where organizations want to be told what happens. Secrets are sealed.
create table webhooks (
  id text primary key, org_id text not null, name text not null,
  url text not null, events text not null, secret text not null, old_secret text not null, old_until_us bigint not null, disabled boolean not null, why text not null, failing_us bigint not null,
  rev bigint not null, created_us bigint not null, updated_us bigint not null
);
create unique index webhooks_name on webhooks (org_id, name);
create index webhooks_list on webhooks (org_id, id);

-- What happened that somebody wants to be told: written in the transaction that made it happen.
create table notices (
  id text primary key, org_id text not null, type text not null, object text not null, at_us bigint not null, data text not null
);
create index notices_at on notices (at_us);

-- Each notice on its way to each webhook. Of one object what came first goes first.
create table deliveries (
  id text primary key, org_id text not null, webhook_id text not null, notice_id text not null, type text not null, object text not null,
  state text not null, rev bigint not null, created_us bigint not null, due_us bigint not null, ended_us bigint not null, woken_us bigint not null, tries bigint not null, attempts text not null
);
create index deliveries_list on deliveries (org_id, id);
create index deliveries_webhook on deliveries (webhook_id, id);
create index deliveries_object on deliveries (webhook_id, object, id) where state = 'pending';
create index deliveries_due on deliveries (due_us) where state = 'pending';
create index deliveries_ended on deliveries (ended_us) where ended_us > 0;

-- +goose Up
-- Where organizations want to be told what happens. Secrets are sealed.
create table webhooks (
  id text collate "C" primary key, org_id text collate "C" not null, name text not null,
  url text not null, events text not null, secret text not null, old_secret text not null, old_until_us bigint not null, disabled boolean not null, why text not null, failing_us bigint not null,
  rev bigint not null, created_us bigint not null, updated_us bigint not null
);
create unique index webhooks_name on webhooks (org_id, name);
create index webhooks_list on webhooks (org_id, id);

-- What happened that somebody wants to be told: written in the transaction that made it happen.
create table notices (
  id text collate "C" primary key, org_id text collate "C" not null, type text not null, object text not null, at_us bigint not null, data text not null
);
create index notices_at on notices (at_us);

-- Each notice on its way to each webhook. Of one object what came first goes first.
create table deliveries (
  id text collate "C" primary key, org_id text collate "C" not null, webhook_id text collate "C" not null, notice_id text collate "C" not null, type text not null, object text not null,
  state text not null, rev bigint not null, created_us bigint not null, due_us bigint not null, ended_us bigint not null, woken_us bigint not null, tries bigint not null, attempts text not null
);
create index deliveries_list on deliveries (org_id, id);
create index deliveries_webhook on deliveries (webhook_id, id);
create index deliveries_object on deliveries (webhook_id, object, id) where state = 'pending';
create index deliveries_due on deliveries (due_us) where state = 'pending';
create index deliveries_ended on deliveries (ended_us) where ended_us > 0;

-- +goose StatementBegin
do $$
declare t text;
begin
  foreach t in array array['webhooks', 'notices', 'deliveries'] loop
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

grant select, insert, update, delete on webhooks, notices, deliveries to vel_app;
grant select on webhooks to vel_system;
grant select, delete on notices, deliveries to vel_system;

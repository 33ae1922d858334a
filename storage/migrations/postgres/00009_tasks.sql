-- +goose Up
-- What is done later. The owner is the user, or else the key, whose tasks are counted together.
create table tasks (
  id text collate "C" primary key, org_id text collate "C" not null,
  owner text collate "C" not null, team_id text collate "C" not null, user_id text collate "C" not null, key_id text collate "C" not null,
  agent_id text collate "C" not null, agent_version bigint not null, batch_id text collate "C" not null, once text collate "C" not null, item bigint not null, custom_id text not null,
  endpoint text not null, model text not null, priority bigint not null, labels text not null, attempts bigint not null, backoff_us bigint not null, retry_on text not null,
  state text not null, rev bigint not null, seq bigint not null, tries bigint not null, failures bigint not null, interrupted bigint not null,
  created_us bigint not null, due_us bigint not null, deadline_us bigint not null, began_us bigint not null, ended_us bigint not null, stopping_us bigint not null, archived_us bigint not null,
  node text collate "C" not null, woken_us bigint not null,
  call_id text collate "C" not null, provider text not null, upstream_model text not null, usage text not null, estimated boolean not null, cost bigint not null, unpriced text not null,
  waiting_us bigint not null, first_token_us bigint not null, total_us bigint not null, partial boolean not null, class text not null, code text not null, message text not null
);
create index tasks_org on tasks (org_id, id);
create index tasks_owner on tasks (org_id, owner, id);
create index tasks_state on tasks (org_id, state, id);
create index tasks_agent on tasks (agent_id, id) where agent_id <> '';
create index tasks_batch on tasks (org_id, batch_id, item) where batch_id <> '';
create index tasks_unstarted on tasks (org_id, batch_id, item) where state = 'pending' and due_us = 0 and batch_id <> '';
create unique index tasks_once on tasks (org_id, once) where once <> '';
create index tasks_at_work on tasks (org_id, owner) where state in ('pending', 'running') and batch_id = '';
create index tasks_node on tasks (node) where state = 'running';
create index tasks_due on tasks (due_us) where state = 'pending' and due_us > 0;
create index tasks_deadline on tasks (deadline_us) where state = 'pending' and deadline_us > 0;
create index tasks_ended on tasks (ended_us) where ended_us > 0;

-- Many tasks that are made together. Their numbers are counted here, in the transactions that end them.
create table batches (
  id text collate "C" primary key, org_id text collate "C" not null, name text not null,
  owner text collate "C" not null, team_id text collate "C" not null, user_id text collate "C" not null, key_id text collate "C" not null, once text collate "C" not null,
  endpoint text not null, parallel bigint not null, labels text not null, attempts bigint not null, backoff_us bigint not null, retry_on text not null,
  state text not null, rev bigint not null, created_us bigint not null, began_us bigint not null, ended_us bigint not null, stopping_us bigint not null,
  total bigint not null, bytes bigint not null, succeeded bigint not null, failed bigint not null, cancelled bigint not null,
  tokens_in bigint not null, tokens_out bigint not null, cost bigint not null, estimate bigint not null, unpriced bigint not null
);
create index batches_org on batches (org_id, id);
create index batches_running on batches (id) where state = 'running';
create unique index batches_once on batches (org_id, once) where once <> '';

-- What a task asks and what it was answered, sealed.
create table task_contents (
  id text collate "C" primary key, org_id text collate "C" not null, request text not null, answer text not null
);

-- The history of a task, without gaps; the text of its tokens is sealed.
create table task_progress (
  org_id text collate "C" not null, task_id text collate "C" not null, seq bigint not null, at_us bigint not null, kind text not null, detail text not null, tokens bigint not null,
  primary key (task_id, seq)
);

-- Whose tasks are counted: the row is locked while somebody's are.
create table task_owners (
  org_id text collate "C" not null, owner text collate "C" not null, made bigint not null,
  primary key (org_id, owner)
);

-- The nodes that run tasks. Each raises its beat while it lives; none that runs no more has a row.
create table task_nodes (node text collate "C" primary key, beat bigint not null);
insert into leases values ('tasks', '', 0);

-- +goose StatementBegin
do $$
declare t text;
begin
  foreach t in array array['tasks', 'batches', 'task_contents', 'task_progress', 'task_owners'] loop
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

-- A task is changed in the scope of its organization. Only what looks over all of them, and takes away what has had its time, sees
-- several.
grant select, insert, update, delete on tasks, batches, task_contents, task_progress, task_owners to vel_app;
grant select, delete on tasks, batches, task_contents, task_progress, task_owners to vel_system;
grant select, insert, update, delete on task_nodes to vel_system;

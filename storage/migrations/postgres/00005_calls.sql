-- +goose Up
-- One row for each call that is over, as far as its node knows. A batch is what a node appended at once: its number and the place in it prove it.
create table calls (
  org_id text collate "C" not null, id text collate "C" not null, begun_us bigint not null, state bigint not null,
  team_id text collate "C" not null, user_id text collate "C" not null, key_id text collate "C" not null, route text collate "C" not null, provider text collate "C" not null, model text collate "C" not null,
  endpoint text collate "C" not null, stream boolean not null, status bigint not null, class text collate "C" not null, failed boolean not null, error text not null,
  waiting_ns bigint not null, first_ns bigint not null, total_ns bigint not null, usage text not null, estimated boolean not null, cost bigint not null,
  unpriced text not null, estimate bigint not null, tags text not null, task_id text collate "C" not null, run_id text collate "C" not null, dropped text not null, agent text not null,
  cache text not null, attempts text not null, decision bytea not null, holds bytea not null,
  node text collate "C" not null, batch bigint not null, place bigint not null,
  primary key (begun_us, id)
) partition by range (begun_us);
create index calls_org on calls (org_id, begun_us, id);
create index calls_key on calls (key_id, begun_us, id);
create index calls_model on calls (org_id, model, begun_us, id);
create index calls_failed on calls (org_id, begun_us, id) where failed;
create index calls_unpriced on calls (org_id, begun_us, id) where unpriced <> '';
create index calls_unpriced_all on calls (begun_us, id) where unpriced <> '';

-- Prompts and answers, and the id of the key that has sealed them. They go earlier than their calls.
create table call_contents (
  org_id text collate "C" not null, id text collate "C" not null, begun_us bigint not null, sealed_by text collate "C" not null default '', prompt bytea not null, answer bytea not null,
  primary key (begun_us, id)
) partition by range (begun_us);
create index call_contents_sealed on call_contents (sealed_by, begun_us, id);

-- What a call is found by: the words of its tags' values and of its error.
create table call_terms (
  org_id text collate "C" not null, term text collate "C" not null, begun_us bigint not null, id text collate "C" not null,
  primary key (term, org_id, begun_us, id)
) partition by range (begun_us);

-- What a row said before another one took its place: without it the batch that it came in could not be proved.
create table call_replaced (
  org_id text collate "C" not null, id text collate "C" not null, begun_us bigint not null, node text collate "C" not null, batch bigint not null, place bigint not null, line bytea not null,
  primary key (begun_us, id, node, batch)
);

-- What was used, summed by all of who and what, once for each call (tag_key is empty) and once for each of its tags. grp stands
-- for the group. Each node has its own minutes; hours and days are made of them.
create table usage_minutes (
  org_id text collate "C" not null, from_us bigint not null, node text collate "C" not null, grp text collate "C" not null,
  team_id text collate "C" not null, user_id text collate "C" not null, key_id text collate "C" not null, route text collate "C" not null, provider text collate "C" not null, model text collate "C" not null,
  tag_key text collate "C" not null, tag_value text collate "C" not null,
  calls bigint not null, failed bigint not null, refused bigint not null, estimated bigint not null, unpriced bigint not null,
  input bigint not null, cache_read bigint not null, cache_write bigint not null, output bigint not null, reasoning bigint not null, audio_in bigint not null, audio_out bigint not null,
  image_in bigint not null, image_out bigint not null, audio_millis bigint not null, images bigint not null, searches bigint not null, requests bigint not null,
  cost bigint not null, total_sketch bytea not null, first_sketch bytea not null,
  primary key (from_us, grp, node)
) partition by range (from_us);
create index usage_minutes_org on usage_minutes (org_id, tag_key, from_us);
create table usage_hours (
  org_id text collate "C" not null, from_us bigint not null, grp text collate "C" not null,
  team_id text collate "C" not null, user_id text collate "C" not null, key_id text collate "C" not null, route text collate "C" not null, provider text collate "C" not null, model text collate "C" not null,
  tag_key text collate "C" not null, tag_value text collate "C" not null,
  calls bigint not null, failed bigint not null, refused bigint not null, estimated bigint not null, unpriced bigint not null,
  input bigint not null, cache_read bigint not null, cache_write bigint not null, output bigint not null, reasoning bigint not null, audio_in bigint not null, audio_out bigint not null,
  image_in bigint not null, image_out bigint not null, audio_millis bigint not null, images bigint not null, searches bigint not null, requests bigint not null,
  cost bigint not null, total_sketch bytea not null, first_sketch bytea not null,
  primary key (from_us, grp)
);
create index usage_hours_org on usage_hours (org_id, tag_key, from_us);
create table usage_days (
  org_id text collate "C" not null, from_us bigint not null, grp text collate "C" not null,
  team_id text collate "C" not null, user_id text collate "C" not null, key_id text collate "C" not null, route text collate "C" not null, provider text collate "C" not null, model text collate "C" not null,
  tag_key text collate "C" not null, tag_value text collate "C" not null,
  calls bigint not null, failed bigint not null, refused bigint not null, estimated bigint not null, unpriced bigint not null,
  input bigint not null, cache_read bigint not null, cache_write bigint not null, output bigint not null, reasoning bigint not null, audio_in bigint not null, audio_out bigint not null,
  image_in bigint not null, image_out bigint not null, audio_millis bigint not null, images bigint not null, searches bigint not null, requests bigint not null,
  cost bigint not null, total_sketch bytea not null, first_sketch bytea not null,
  primary key (from_us, grp)
);
create index usage_days_org on usage_days (org_id, tag_key, from_us);

-- Hours and days whose sums are older than what they are made of. mark rises with each change.
create table usage_due (grain text collate "C" not null, from_us bigint not null, node text collate "C" not null, mark bigint not null, primary key (grain, from_us, node));

-- Up to where the records of a node's spool are here, and in how many batches they came.
create table spool_cursors (node text collate "C" not null primary key, segment bigint not null, place bigint not null, batch bigint not null);

-- Models that were called and have no price.
create table unpriced_models (provider text collate "C" not null, model text collate "C" not null, first_us bigint not null, primary key (provider, model));

insert into leases values ('usage', '', 0);

-- What comes on a day that has no partition of its own.
-- +goose StatementBegin
do $$
declare t text;
begin
  foreach t in array array['calls', 'call_contents', 'call_terms', 'usage_minutes'] loop
    execute format('create table %I partition of %I default', t || '_other', t);
    execute format('alter table %I enable row level security', t || '_other');
    execute format('alter table %I force row level security', t || '_other');
  end loop;
  foreach t in array array['calls', 'call_contents', 'call_terms', 'call_replaced', 'usage_minutes', 'usage_hours', 'usage_days'] loop
    execute format('alter table %I enable row level security', t);
    execute format('alter table %I force row level security', t);
    execute format(
      $policy$create policy %I on %I to vel_app
        using (org_id = (select nullif(current_setting('vel.org', true), '')))
        with check (org_id = (select nullif(current_setting('vel.org', true), '')))$policy$, t || '_tenant', t);
    execute format('create policy %I on %I to vel_system using (current_user = ''vel_system'') with check (current_user = ''vel_system'')', t || '_system', t);
  end loop;
  foreach t in array array['calls', 'call_contents', 'call_terms'] loop
    execute format('create policy %I on %I for insert to vel_ingest with check (current_user = ''vel_ingest'')', t || '_ingest', t);
  end loop;
  foreach t in array array['usage_due', 'spool_cursors', 'unpriced_models'] loop
    execute format('alter table %I enable row level security', t);
    execute format('alter table %I force row level security', t);
    execute format('create policy %I on %I to vel_system using (current_user = ''vel_system'') with check (current_user = ''vel_system'')', t || '_system', t);
  end loop;
  foreach t in array array['usage_minutes', 'usage_due', 'spool_cursors', 'unpriced_models'] loop
    execute format('create policy %I on %I to vel_ingest using (current_user = ''vel_ingest'') with check (current_user = ''vel_ingest'')', t || '_ingest', t);
  end loop;
end $$;
-- +goose StatementEnd

-- Who appends reads no call and changes none; who reads for all changes none either, but takes away what has had its time or
-- was only an estimate.
grant select on calls, call_contents, call_terms, call_replaced, usage_minutes, usage_hours, usage_days to vel_app;
grant select, delete on calls, call_contents, call_terms, usage_minutes to vel_system;
grant update (sealed_by, prompt, answer) on call_contents to vel_system; -- which are sealed anew when the key changes
grant select, insert, delete on call_replaced, usage_hours, usage_days to vel_system;
grant select, insert, update, delete on usage_due to vel_system;
grant select on spool_cursors, unpriced_models to vel_system;
-- Whoever reads sums has to know how new they are.
grant select on usage_due to vel_app;
create policy usage_due_tenant on usage_due for select to vel_app using (true);
grant insert on calls, call_contents, call_terms to vel_ingest;
grant select, insert, update on usage_minutes, usage_due, spool_cursors to vel_ingest;
grant select, insert on unpriced_models to vel_ingest;

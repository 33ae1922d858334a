-- +goose Up
-- One row for each call that is over, as far as its node knows. A batch is what a node appended at once: its number and the place in it prove it.
create table calls (
  org_id text not null, id text not null, begun_us bigint not null, state bigint not null,
  team_id text not null, user_id text not null, key_id text not null, route text not null, provider text not null, model text not null,
  endpoint text not null, stream boolean not null, status bigint not null, class text not null, failed boolean not null, error text not null,
  waiting_ns bigint not null, first_ns bigint not null, total_ns bigint not null, usage text not null, estimated boolean not null, cost bigint not null,
  unpriced text not null, estimate bigint not null, tags text not null, task_id text not null, run_id text not null, dropped text not null, agent text not null,
  cache text not null, attempts text not null, decision bytea not null, holds bytea not null,
  node text not null, batch bigint not null, place bigint not null,
  primary key (begun_us, id)
);
create index calls_org on calls (org_id, begun_us, id);
create index calls_key on calls (key_id, begun_us, id);
create index calls_model on calls (org_id, model, begun_us, id);
create index calls_failed on calls (org_id, begun_us, id) where failed;
create index calls_unpriced on calls (org_id, begun_us, id) where unpriced <> '';
create index calls_unpriced_all on calls (begun_us, id) where unpriced <> '';

-- Prompts and answers, and the id of the key that has sealed them. They go earlier than their calls.
create table call_contents (
  org_id text not null, id text not null, begun_us bigint not null, sealed_by text not null default '', prompt bytea not null, answer bytea not null,
  primary key (begun_us, id)
);
create index call_contents_sealed on call_contents (sealed_by, begun_us, id);

-- What a call is found by: the words of its tags' values and of its error.
create table call_terms (
  org_id text not null, term text not null, begun_us bigint not null, id text not null,
  primary key (term, org_id, begun_us, id)
) without rowid;

-- What a row said before another one took its place: without it the batch that it came in could not be proved.
create table call_replaced (
  org_id text not null, id text not null, begun_us bigint not null, node text not null, batch bigint not null, place bigint not null, line bytea not null,
  primary key (begun_us, id, node, batch)
);

-- What was used, summed by all of who and what, once for each call (tag_key is empty) and once for each of its tags. grp stands
-- for the group. Each node has its own minutes; hours and days are made of them.
create table usage_minutes (
  org_id text not null, from_us bigint not null, node text not null, grp text not null,
  team_id text not null, user_id text not null, key_id text not null, route text not null, provider text not null, model text not null,
  tag_key text not null, tag_value text not null,
  calls bigint not null, failed bigint not null, refused bigint not null, estimated bigint not null, unpriced bigint not null,
  input bigint not null, cache_read bigint not null, cache_write bigint not null, output bigint not null, reasoning bigint not null, audio_in bigint not null, audio_out bigint not null,
  image_in bigint not null, image_out bigint not null, audio_millis bigint not null, images bigint not null, searches bigint not null, requests bigint not null,
  cost bigint not null, total_sketch bytea not null, first_sketch bytea not null,
  primary key (from_us, grp, node)
) without rowid;
create index usage_minutes_org on usage_minutes (org_id, tag_key, from_us);
create table usage_hours (
  org_id text not null, from_us bigint not null, grp text not null,
  team_id text not null, user_id text not null, key_id text not null, route text not null, provider text not null, model text not null,
  tag_key text not null, tag_value text not null,
  calls bigint not null, failed bigint not null, refused bigint not null, estimated bigint not null, unpriced bigint not null,
  input bigint not null, cache_read bigint not null, cache_write bigint not null, output bigint not null, reasoning bigint not null, audio_in bigint not null, audio_out bigint not null,
  image_in bigint not null, image_out bigint not null, audio_millis bigint not null, images bigint not null, searches bigint not null, requests bigint not null,
  cost bigint not null, total_sketch bytea not null, first_sketch bytea not null,
  primary key (from_us, grp)
) without rowid;
create index usage_hours_org on usage_hours (org_id, tag_key, from_us);
create table usage_days (
  org_id text not null, from_us bigint not null, grp text not null,
  team_id text not null, user_id text not null, key_id text not null, route text not null, provider text not null, model text not null,
  tag_key text not null, tag_value text not null,
  calls bigint not null, failed bigint not null, refused bigint not null, estimated bigint not null, unpriced bigint not null,
  input bigint not null, cache_read bigint not null, cache_write bigint not null, output bigint not null, reasoning bigint not null, audio_in bigint not null, audio_out bigint not null,
  image_in bigint not null, image_out bigint not null, audio_millis bigint not null, images bigint not null, searches bigint not null, requests bigint not null,
  cost bigint not null, total_sketch bytea not null, first_sketch bytea not null,
  primary key (from_us, grp)
) without rowid;
create index usage_days_org on usage_days (org_id, tag_key, from_us);

-- Hours and days whose sums are older than what they are made of. mark rises with each change.
create table usage_due (grain text not null, from_us bigint not null, node text not null, mark bigint not null, primary key (grain, from_us, node));

-- Up to where the records of a node's spool are here, and in how many batches they came.
create table spool_cursors (node text not null primary key, segment bigint not null, place bigint not null, batch bigint not null);

-- Models that were called and have no price.
create table unpriced_models (provider text not null, model text not null, first_us bigint not null, primary key (provider, model));

insert into leases values ('usage', '', 0);

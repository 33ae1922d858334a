package storage

import (
	"cmp"
	"context"
	"time"

	"github.com/vel-gateway/vel/tasks"
	"github.com/vel-gateway/vel/tenancy"
)

// Agents keeps agents. Every change of a configuration makes a version, in the same transaction; who makes it is said by Agent.By.
// What was made for one that is deleted is archived, its versions stay.
func (db *DB) Agents() tenancy.Store[tasks.Agent] {
	return &table[tasks.Agent, *tasks.Agent]{
		db: db, name: "agents", prefix: "agent", filters: []filter{byName},
		columns: []column[tasks.Agent]{
			{name: "config", open: true, at: func(a *tasks.Agent) any { return asJSON{&a.Config} }},
			{name: "active", open: true, at: func(a *tasks.Agent) any { return &a.Active }},
			{name: "version", use: fixed, open: true, at: func(a *tasks.Agent) any { return &a.Version }},
		},
		settle: keepVersion,
		clear:  archiveTasks,
	}
}

// keepVersion writes a version of an agent, unless the last one is the same.
func keepVersion(ctx context.Context, t tx, a *tasks.Agent) error {
	config, err := asJSON{&a.Config}.Value()
	if err != nil {
		return err
	}
	now := time.Now()
	n, err := t.exec(ctx, `insert into agent_versions (org_id, agent_id, version, at_us, by_id, by_name, name, config)
		select $1, $2, coalesce((select max(version) from agent_versions where org_id = $1 and agent_id = $2), 0) + 1, $3, $4, $5, $6, $7
		where not exists (select 1 from agent_versions v where v.org_id = $1 and v.agent_id = $2 and v.config = $7
			and v.version = (select max(version) from agent_versions where org_id = $1 and agent_id = $2))`,
		a.Org, a.ID, micros{&now}, cmp.Or(a.By.User, a.By.Key), a.By.Name, a.Name, config)
	if err != nil || n == 0 && a.Rev != 1 {
		return err
	}
	_, err = t.exec(ctx, `update agents set version = (select max(version) from agent_versions where org_id = $1 and agent_id = $2) where org_id = $1 and id = $2`, a.Org, a.ID)
	return err
}

// archiveTasks takes the tasks of an agent that is about to go out of sight: what waits is cancelled, what runs is ended by its node.
func archiveTasks(ctx context.Context, t tx, _ int64, _ *trail, a *tasks.Agent) error {
	now := time.Now()
	for _, statement := range []string{
		`update tasks set state = 'cancelled', rev = rev + 1, ended_us = $3, stopping_us = $3 where org_id = $1 and agent_id = $2 and state = 'pending'`,
		`update tasks set stopping_us = $3 where org_id = $1 and agent_id = $2 and state = 'running' and stopping_us = 0`,
		`update tasks set archived_us = $3 where org_id = $1 and agent_id = $2 and archived_us = 0`,
	} {
		if _, err := t.exec(ctx, statement, a.Org, a.ID, micros{&now}); err != nil {
			return err
		}
	}
	return nil
}

// AgentVersions are what an agent was, the newest first; also of one that was deleted.
func (db *DB) AgentVersions(ctx context.Context, org, id tenancy.ID) (list []tasks.AgentVersion, err error) {
	err = db.dialect.read(ctx, tenant(org), func(t tx) error {
		list = nil
		return t.each(ctx, func(scan func(...any) error) error {
			var v tasks.AgentVersion
			err := scan(&v.Number, micros{&v.At}, &v.By, &v.Name, asJSON{&v.Config})
			list = append(list, v)
			return err
		}, `select version, at_us, by_id, by_name, config from agent_versions where org_id = $1 and agent_id = $2 order by version desc`, org, id)
	})
	return list, err
}

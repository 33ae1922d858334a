package ratelimit

import (
	"embed"
	"fmt"

	"github.com/redis/go-redis/v9"
)

//go:embed scripts
var sources embed.FS

// scripts are what runs inside Redis: each is one step that nothing else comes between.
type scripts struct {
	take, settle, renew, seed, lower, uses, forget, list, holds, drop, beat *redis.Script
}

func newScripts() scripts {
	head := fmt.Sprintf("local lifetime, grace, settled, swept, idle, soon, most = %d, %d, %d, %d, %d, %d, %d\nlocal none, never, cold = %d, %d, %d\n",
		lifetime, grace, settled, swept, idle, soon, int64(most), none, never, cold) + source("shared")
	with := func(name string) *redis.Script { return redis.NewScript(head + source(name)) }
	return scripts{
		with("take"), with("settle"), with("renew"), with("seed"), with("lower"), with("uses"), with("forget"), with("list"),
		redis.NewScript(source("holds")), redis.NewScript(source("drop")), redis.NewScript(source("beat")),
	}
}

func source(name string) string {
	text, err := sources.ReadFile("scripts/" + name + ".lua")
	if err != nil {
		panic(err) // it is in the program
	}
	return string(text)
}

package nodes

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// cluster is a Redis Cluster: three nodes that have all slots, and one that has none until it stands in for another.
type cluster struct {
	nodes []*store
	wires []*wire
	buses []string // their ports among each other
	ids   []string // that the cluster gave them
}

const (
	allSlots = 16384
	masters  = 3
	spare    = masters
)

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{}
	for i := range masters + 1 {
		bus := strconv.Itoa(freePort(t))
		s := counters(t, "cluster-enabled", "yes", "cluster-port", bus, "repl-diskless-sync-delay", "0")
		w := connect(t, s.port)
		id, _ := w.must(t, "CLUSTER", "MYID").(string)
		c.nodes, c.wires, c.buses, c.ids = append(c.nodes, s), append(c.wires, w), append(c.buses, bus), append(c.ids, id)
		if i < masters {
			w.must(t, "CLUSTER", "ADDSLOTSRANGE", strconv.Itoa(i*allSlots/masters), strconv.Itoa((i+1)*allSlots/masters-1))
		}
		w.must(t, "CLUSTER", "MEET", "127.0.0.1", strconv.Itoa(c.nodes[0].port), c.buses[0])
	}
	for i := range c.nodes {
		c.says(t, i, "INFO", "cluster_state:ok", fmt.Sprint("cluster_known_nodes:", len(c.nodes)), fmt.Sprint("cluster_slots_ok:", allSlots))
	}
	return c
}

// says waits until a node says all of this about the cluster.
func (c *cluster) says(t *testing.T, i int, about string, all ...string) {
	t.Helper()
	soon(t, patience, fmt.Sprint("a node of the cluster says ", all), func() bool {
		text, _ := c.wires[i].must(t, "CLUSTER", about).(string)
		return !slices.ContainsFunc(all, func(word string) bool { return !strings.Contains(text, word) })
	})
}

func (c *cluster) url() string {
	var hosts []string
	for _, n := range c.nodes {
		hosts = append(hosts, address(n.port))
	}
	return "REDIS_URL=redis://" + strings.Join(hosts, ",")
}

// slot is where the counters of an organization are, and the node that has it as long as it was not moved.
func (c *cluster) slot(t *testing.T, org string) (slot string, owner int) {
	t.Helper()
	n, _ := c.wires[0].must(t, "CLUSTER", "KEYSLOT", "{"+org+"}").(int64)
	for owner = masters - 1; n < int64(owner*allSlots/masters); {
		owner--
	}
	return strconv.FormatInt(n, 10), owner
}

// move moves a slot to another node, a few keys at a time, as an operator's tool does.
func (c *cluster) move(t *testing.T, slot string, from, to int) {
	t.Helper()
	c.wires[to].must(t, "CLUSTER", "SETSLOT", slot, "IMPORTING", c.ids[from])
	c.wires[from].must(t, "CLUSTER", "SETSLOT", slot, "MIGRATING", c.ids[to])
	for {
		keys, _ := c.wires[from].must(t, "CLUSTER", "GETKEYSINSLOT", slot, "10").([]any)
		if len(keys) == 0 {
			break
		}
		words := []string{"MIGRATE", "127.0.0.1", strconv.Itoa(c.nodes[to].port), "", "0", "5000", "KEYS"}
		for _, k := range keys {
			words = append(words, fmt.Sprint(k))
		}
		c.wires[from].must(t, words...)
	}
	for i := range masters { // those that it is about first: nobody may be sent where it is not known yet
		c.wires[(to+i)%masters].must(t, "CLUSTER", "SETSLOT", slot, "NODE", c.ids[to])
	}
}

// follow lets the spare node follow another, and waits until it has all that the other one has.
func (c *cluster) follow(t *testing.T, owner int) {
	t.Helper()
	w := c.wires[spare]
	w.must(t, "CLUSTER", "REPLICATE", c.ids[owner])
	soon(t, patience, "the spare node has all that the other one has", func() bool {
		text, _ := w.must(t, "INFO", "replication").(string)
		return strings.Contains(text, "master_link_status:up")
	})
	c.says(t, (owner+1)%masters, "NODES", "slave "+c.ids[owner])
}

// fail kills a node, and waits until the spare one has taken its place.
func (c *cluster) fail(t *testing.T, owner int) {
	t.Helper()
	c.nodes[owner].kill()
	soon(t, patience, "the spare node has taken its place", func() bool {
		role, _ := c.wires[spare].must(t, "ROLE").([]any)
		return len(role) > 0 && role[0] == "master"
	})
}

// The counters are in a cluster whose slots move about while many call two nodes, and then the one that has them dies and
// another takes its place. Nobody is told anything but what docs/limits.md says, nothing is exceeded by more than it says,
// and in the end the counters are what the ledger comes to.
func TestClusterMovesUnderLoad(t *testing.T) {
	t.Parallel()
	const afforded, moves = 600, 6
	c := newCluster(t)
	h := countingBy(t, 2, c.url())
	all := h.promises(t, afforded)
	slot, owner := c.slot(t, h.org)
	stop := h.callFor(t, all, promised)
	for range moves {
		goOn(t, all, 1)
		to := (owner + 1) % masters
		c.move(t, slot, owner, to)
		owner = to
	}
	c.follow(t, owner)
	before := map[*promise]int{}
	for _, p := range all {
		before[p] = p.answered()
	}
	c.fail(t, owner)
	for _, p := range all {
		t.Logf("%s: %d calls while the slot has moved %d times, %d until its node was replaced", p.what, before[p], moves, p.answered()-before[p])
	}
	for _, n := range h.nodes {
		n.shown(t, true)
	}
	h.judge(t, all, stop, befell{outages: moves + 1, unheard: true}, afforded)
}

package storage_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/secrets"
	"github.com/vel-gateway/vel/storage"
	"github.com/vel-gateway/vel/tasks"
	"github.com/vel-gateway/vel/tenancy"
)

// The next item of a large batch is found by an index that has those alone, also while Postgres knows nothing of the table yet: it
// would else sort all that are left for each one that ends.
func TestNextItemsAreFoundByTheirIndex(t *testing.T) {
	t.Parallel()
	url := server.Database(t).URL
	db := open(t, storage.Config{URL: secrets.New(url)})
	by := tenancy.Actor{Name: "root"}
	org, err := db.Orgs().Create(t.Context(), by, tenancy.Org{Meta: tenancy.Meta{ID: tenancy.NewID("org"), Name: "acme"}})
	if err != nil {
		t.Fatal(err)
	}
	b := &tasks.Batch{ID: tenancy.NewID("batch"), Org: org.ID, As: tenancy.Identity{Org: org.ID, User: "user_1"}, Endpoint: adapters.ChatCompletions, Parallel: 20, Created: time.Now()}
	if err := db.CreateBatch(t.Context(), by, b); err != nil {
		t.Fatal(err)
	}
	const items, part = 10_000, 500
	for from := 0; from < items; from += part {
		var list []tasks.NewItem
		for i := range part {
			list = append(list, tasks.NewItem{Task: b.Item(int64(from+i), "", "m"), Request: "sealed"})
		}
		if _, err := db.AddItems(t.Context(), b.Org, b.ID, int64(from), list); err != nil {
			t.Fatal(err)
		}
	}
	conn := connect(t, url)
	executes(t, conn, "set role vel_app")
	executes(t, conn, fmt.Sprintf("set vel.org = '%s'", b.Org))
	query := strings.NewReplacer("$2", "'"+string(b.Org)+"'", "$3", "'"+string(b.ID)+"'", "$4", "1").Replace(storage.NextItems)
	plan := texts(t, conn, "explain "+query+" for update skip locked")
	if text := strings.Join(plan, "\n"); !strings.Contains(text, "using tasks_unstarted") || strings.Contains(text, "Sort") {
		t.Errorf("the next item is found thus:\n%s", text)
	}
}

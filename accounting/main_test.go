package accounting_test

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain fails if a goroutine is left: every one has an owner that stops it.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

//go:build !race

package accounting_test

const racing = false

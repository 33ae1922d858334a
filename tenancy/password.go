package tenancy

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"

	"golang.org/x/crypto/argon2"
)

// What argon2id costs: 19 MiB and two passes, one of the equal choices of the OWASP Password Storage Cheat Sheet. A hash
// names its own cost, so that this may grow later.
const (
	hashMemory = 19 * 1024 // KiB
	hashPasses = 2
	hashLanes  = 1
	saltLength = 16
	hashLength = 32
)

// The most that a stored hash may ask for: what stands in the database must not exhaust the process.
const (
	mostMemory = 256 * 1024 // KiB
	mostPasses = 16
	mostLanes  = 8
)

// ErrBusy says that too many passwords are being computed already.
var ErrBusy = errors.New("too many passwords are being checked at once")

// HashPassword makes what is stored of a password: a PHC string, $argon2id$v=19$m=…,t=…,p=…$salt$hash.
func HashPassword(password string) string {
	salt := make([]byte, saltLength)
	_, _ = rand.Read(salt) // it never fails
	hash := argon2.IDKey([]byte(password), salt, hashPasses, hashMemory, hashLanes, hashLength)
	encode := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, hashMemory, hashPasses, hashLanes, encode(salt), encode(hash))
}

// CheckPassword tells whether a password is the one that was hashed. An empty hash fits no password, and finding that
// out takes as long as with any other.
func CheckPassword(hash, password string) (bool, error) {
	if hash == "" {
		argon2.IDKey([]byte(password), make([]byte, saltLength), hashPasses, hashMemory, hashLanes, hashLength)
		return false, nil
	}
	var version int
	var memory, passes uint32
	var lanes uint8
	parts := strings.Split(hash, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" {
		return false, errors.New("the stored password is no argon2id hash")
	}
	if _, err := fmt.Sscanf(parts[2], "v=%d", &version); err != nil || version != argon2.Version {
		return false, fmt.Errorf("the stored password has version %q of argon2", parts[2])
	}
	_, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &memory, &passes, &lanes)
	if err != nil || memory > mostMemory || passes < 1 || passes > mostPasses || lanes < 1 || lanes > mostLanes {
		return false, fmt.Errorf("the stored password has the cost %q", parts[3])
	}
	salt, err := base64.RawStdEncoding.Strict().DecodeString(parts[4])
	if err != nil {
		return false, fmt.Errorf("decode the salt of the stored password: %w", err)
	}
	want, err := base64.RawStdEncoding.Strict().DecodeString(parts[5])
	if err != nil || len(want) < hashLength {
		return false, errors.New("the stored password is cut off")
	}
	got := argon2.IDKey([]byte(password), salt, passes, memory, lanes, uint32(len(want)))
	return subtle.ConstantTimeCompare(got, want) == 1, nil
}

// Passwords hashes and checks passwords, a few at once: each takes a core for tens of milliseconds and 19 MiB, and
// everybody may ask for it. It is safe for concurrent use.
type Passwords struct {
	slots chan struct{}

	mu      sync.Mutex
	waiting int // for a slot; guarded by mu
	most    int
}

// NewPasswords makes one that computes atOnce passwords at the same time, while waiting more may wait.
func NewPasswords(atOnce, waiting int) *Passwords {
	return &Passwords{slots: make(chan struct{}, atOnce), most: waiting}
}

// Hash is HashPassword in turn. Errors: ErrBusy, or that of ctx.
func (p *Passwords) Hash(ctx context.Context, password string) (string, error) {
	if err := p.enter(ctx); err != nil {
		return "", err
	}
	defer p.leave()
	return HashPassword(password), nil
}

// Check is CheckPassword in turn. Errors: ErrBusy, that of ctx, or that the hash is none.
func (p *Passwords) Check(ctx context.Context, hash, password string) (bool, error) {
	if err := p.enter(ctx); err != nil {
		return false, err
	}
	defer p.leave()
	return CheckPassword(hash, password)
}

func (p *Passwords) enter(ctx context.Context) error {
	select {
	case p.slots <- struct{}{}:
		return nil
	default:
	}
	if !p.wait(1) {
		return ErrBusy
	}
	defer p.wait(-1)
	select {
	case p.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *Passwords) leave() { <-p.slots }

// wait counts those who wait for a slot, and tells whether there is room for them.
func (p *Passwords) wait(n int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting+n > p.most {
		return false
	}
	p.waiting += n
	return true
}

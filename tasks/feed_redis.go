package tasks

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/vel-gateway/vel/tenancy"
)

// feedChannel is where the nodes tell each other how far the histories of tasks have got. It carries ids and numbers.
const feedChannel = "vel:tasks"

// feedWaiting is how many numbers may wait for Redis. What does not fit is found by the next look into the database.
const feedWaiting = 4096

// RedisCarrier is a Carrier over the pub/sub of Redis.
type RedisCarrier struct {
	client redis.UniversalClient
	out    chan string
}

// NewRedisCarrier makes one; Receive must run for anything to be published.
func NewRedisCarrier(client redis.UniversalClient) *RedisCarrier {
	return &RedisCarrier{client: client, out: make(chan string, feedWaiting)}
}

// Publish hands a number over.
func (c *RedisCarrier) Publish(topic tenancy.ID, seq int64) {
	select {
	case c.out <- string(topic) + " " + strconv.FormatInt(seq, 10):
	default:
	}
}

// Receive publishes what is handed over and tells what comes, until ctx ends. The client reconnects by itself.
func (c *RedisCarrier) Receive(ctx context.Context, told func(topic tenancy.ID, seq int64)) {
	in := c.client.Subscribe(ctx, feedChannel)
	defer func() { _ = in.Close() }()
	messages := in.Channel(redis.WithChannelSize(feedWaiting), redis.WithChannelSendTimeout(time.Millisecond))
	for {
		select {
		case <-ctx.Done():
			return
		case m := <-c.out:
			_ = c.client.Publish(ctx, feedChannel, c.more(m)).Err() // lost: the next look finds it
		case m, ok := <-messages:
			if !ok {
				return
			}
			for line := range strings.SplitSeq(m.Payload, "\n") {
				id, number, _ := strings.Cut(line, " ")
				if seq, err := strconv.ParseInt(number, 10, 64); err == nil {
					told(tenancy.ID(id), seq)
				}
			}
		}
	}
}

// more is a message with what else waits, so that many numbers are one message.
func (c *RedisCarrier) more(first string) string {
	lines := []string{first}
	for len(lines) < 256 {
		select {
		case m := <-c.out:
			lines = append(lines, m)
		default:
			return strings.Join(lines, "\n")
		}
	}
	return strings.Join(lines, "\n")
}

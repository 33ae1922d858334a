package accounting

import (
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// The alarm begins at one share of the quota and ends at a lower one, so that it does not flicker.
const (
	alarmAt   = 50 // percent
	alarmEnds = 40
)

// leastRoom is how many bytes of the quota must be left so that the spool does not count as full: some records.
const leastRoom = 16 << 10

// watch tells once that the spool fills up, and once that it is over.
func (s *Shipper) watch() {
	st := s.spool.Stats()
	used := percentOf(st.Bytes, st.Quota)
	switch {
	case !s.alarmed && used >= alarmAt:
		s.alarmed = true
		s.log.Warn("the spool fills up: the database does not take records as fast as they come", slog.Int64("percent", used), slog.Int64("bytes", st.Bytes))
	case s.alarmed && used < alarmEnds:
		s.alarmed = false
		s.log.Info("the spool has room again", slog.Int64("percent", used))
	}
}

func percentOf(bytes, quota int64) (percent int64) {
	if quota <= 0 {
		return 0
	}
	return bytes / max(1, quota/100)
}

// spoolCollector reads what there is to tell when it is asked.
type spoolCollector struct {
	shipper *Shipper

	up, bytes, quota, alarm, oldest, waiting  *prometheus.Desc
	shipped, dead, dropped, damaged, failures *prometheus.Desc
}

// Collector gives the metrics of the spool and of what becomes of it.
func (s *Shipper) Collector() prometheus.Collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return &spoolCollector{
		shipper:  s,
		up:       desc("vel_spool_up", "1 while the spool takes the records of new calls."),
		bytes:    desc("vel_spool_bytes", "Bytes that the spool takes on the disk."),
		quota:    desc("vel_spool_quota_bytes", "Bytes that it may take."),
		alarm:    desc("vel_spool_alarm", "1 while it has more than half of them."),
		oldest:   desc("vel_spool_oldest_seconds", "How old the oldest record is that is not in the database; 0: all are."),
		waiting:  desc("vel_records_waiting", "Records that are in memory because the spool does not take them."),
		shipped:  desc("vel_records_shipped_total", "Records that this process has brought into the database."),
		dead:     desc("vel_records_dead_total", "Records that the database will never take, put aside."),
		dropped:  desc("vel_records_dropped_total", "Records that could not be written.", "state"),
		damaged:  desc("vel_records_quarantined_total", "Stretches of the spool that could not be read; their segments are kept."),
		failures: desc("vel_shipping_failures_total", "Tries to bring records into the database that failed."),
	}
}

// Describe tells which metrics there are.
func (c *spoolCollector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.up, c.bytes, c.quota, c.alarm, c.oldest, c.waiting, c.shipped, c.dead, c.dropped, c.damaged, c.failures} {
		to <- d
	}
}

// Collect tells what they are.
func (c *spoolCollector) Collect(to chan<- prometheus.Metric) {
	s := c.shipper
	st := s.spool.Stats()
	gauge := func(d *prometheus.Desc, v float64) { to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v) }
	count := func(d *prometheus.Desc, v uint64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge(c.up, truth(st.Broken == nil && (st.Quota <= 0 || st.Quota-st.Bytes > leastRoom)))
	gauge(c.bytes, float64(st.Bytes))
	gauge(c.quota, float64(st.Quota))
	gauge(c.alarm, truth(percentOf(st.Bytes, st.Quota) >= alarmAt))
	gauge(c.oldest, s.age().Seconds())
	gauge(c.waiting, float64(s.recorder.waiting.len()))
	count(c.shipped, s.counts.records.Load())
	count(c.dead, s.counts.dead.Load())
	count(c.dropped, s.recorder.lostBegun.Load(), "begun")
	count(c.dropped, s.recorder.lostEnded.Load(), "ended")
	count(c.damaged, st.Damages)
	count(c.failures, s.counts.failures.Load())
}

// age is that of the oldest record which is not in the database.
func (s *Shipper) age() time.Duration {
	oldest := s.oldest.Load()
	if oldest <= 0 {
		return 0
	}
	return max(0, time.Since(time.Unix(0, oldest)))
}

func truth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

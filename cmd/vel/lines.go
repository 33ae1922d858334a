package main

import (
	"bufio"
	"context"
	"log/slog"
	"strconv"
	"time"
)

// lineHandler writes what slog's JSON handler would, at a fraction of its cost: the line of a call was a tenth of
// what a call costs. It knows only plain records of plain values, which is what a call's line is; everything else
// goes to slog's own handler.
type lineHandler struct {
	slog.Handler // slog's own
	out          *bufio.Writer
}

// Handle writes one line. Its caller lets one goroutine write at a time.
func (h lineHandler) Handle(ctx context.Context, r slog.Record) error {
	line, ok := appendLine(h.out.AvailableBuffer(), r)
	if !ok {
		return h.Handler.Handle(ctx, r)
	}
	_, err := h.out.Write(line)
	return err
}

func appendLine(b []byte, r slog.Record) ([]byte, bool) {
	b = append(b, `{"time":"`...)
	b = r.Time.AppendFormat(b, time.RFC3339Nano)
	b = append(b, `","level":"`...)
	b = append(b, r.Level.String()...)
	b = append(b, `","msg":`...)
	b, ok := appendPlain(b, r.Message)
	if !ok {
		return b, false
	}
	r.Attrs(func(a slog.Attr) bool {
		if b, ok = appendPlain(append(b, ','), a.Key); ok {
			b, ok = appendValue(append(b, ':'), a.Value)
		}
		return ok
	})
	return append(b, "}\n"...), ok
}

func appendValue(b []byte, v slog.Value) ([]byte, bool) {
	switch v.Kind() {
	case slog.KindString:
		return appendPlain(b, v.String())
	case slog.KindInt64:
		return strconv.AppendInt(b, v.Int64(), 10), true
	case slog.KindBool:
		return strconv.AppendBool(b, v.Bool()), true
	case slog.KindFloat64:
		if f := v.Float64(); f > -1e15 && f < 1e15 {
			return strconv.AppendFloat(b, f, 'f', -1, 64), true
		}
	}
	return b, false
}

// appendPlain appends a string that needs no escape.
func appendPlain(b []byte, s string) ([]byte, bool) {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return b, false
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"'), true
}

package upstream

import (
	"errors"
	"net"
	"os"

	"github.com/valyala/fasthttp"

	"github.com/vel-gateway/vel/adapters"
)

// failure makes the error of an attempt. The message is for the client and names no address; the cause is for
// the operator's log.
func failure(class adapters.Class, message string, cause error) *adapters.Error {
	return &adapters.Error{Class: class, Message: message, Cause: cause}
}

// explainConnect says why there is no connection.
func (x *Exchange) explainConnect(err error) error {
	timeout, isNet := errors.AsType[net.Error](err)
	switch {
	case x.wasCancelled():
		return failure(adapters.ClassGone, "The call was cancelled.", errCancelled)
	case errors.Is(err, fasthttp.ErrNoFreeConns):
		return failure(adapters.ClassConnect, "Vel has no free connection to the provider.", err)
	case isNet && timeout.Timeout():
		return failure(adapters.ClassConnect, "The provider could not be reached in time.", err)
	default:
		return failure(adapters.ClassConnect, "The provider could not be reached.", err)
	}
}

// explain says why a connection that stood did not bring an answer. class is what a lost connection means at
// this point.
func (x *Exchange) explain(err error, class adapters.Class) error {
	if e, ok := errors.AsType[*adapters.Error](err); ok {
		return e
	}
	switch {
	case x.wasCancelled():
		return failure(adapters.ClassGone, "The call was cancelled.", errCancelled)
	case errors.Is(err, errHead):
		return failure(adapters.ClassGarbage, "The provider answered with something that is not HTTP.", err)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return failure(adapters.ClassTimeout, "The provider did not answer in time.", err)
	case class == adapters.ClassTruncated:
		return failure(class, "The provider's answer broke off.", err)
	default:
		return failure(class, "The connection to the provider was lost.", err)
	}
}

func (x *Exchange) wasCancelled() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.cancelled
}

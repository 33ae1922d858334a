package storm

import (
	"bufio"
	"io"
	"net"
	"net/http"
)

// readAnswer reads one answer from a connection that carries nothing behind it, head and body. keep says whether
// another request may follow.
func readAnswer(c net.Conn) (body []byte, keep bool, err error) {
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return nil, false, err
	}
	defer res.Body.Close()
	body, err = io.ReadAll(res.Body)
	return body, !res.Close, err
}

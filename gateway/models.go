package gateway

import (
	"net/url"
	"strconv"

	"github.com/valyala/fasthttp"

	"github.com/vel-gateway/vel/routing"
)

// models answers the list of models, or one of them: the routes that the key may use.
func (s *Server) models(ctx *fasthttp.RequestCtx, to *path) {
	snapshot := s.pipe.Snapshot()
	who, err := s.pipe.who(snapshot, presentedKey(&ctx.Request.Header))
	if err != nil {
		s.refuse(ctx, err)
		return
	}
	id := newID()
	held, err := s.pipe.admitPlain(id, who)
	defer s.pipe.settlePlain(held)
	if err != nil {
		s.refuseHeld(ctx, id, held, err)
		return
	}
	writeLimits(&ctx.Response.Header, held)
	if to.kind == pathModels {
		body := []byte(`{"object":"list","data":[`)
		for r := range snapshot.Routes.Routes(who) {
			if body[len(body)-1] == '}' {
				body = append(body, ',')
			}
			body = appendModel(body, r)
		}
		writeJSON(ctx, append(body, "]}"...))
		return
	}
	name, err := url.PathUnescape(string(to.rest)) // a name may have slashes, raw or escaped
	if err != nil {
		name = string(to.rest)
	}
	for r := range snapshot.Routes.Routes(who) {
		if r.Name == name {
			writeJSON(ctx, appendModel(nil, r))
			return
		}
	}
	s.refuse(ctx, errUnknownModel(name))
}

func appendModel(b []byte, r *routing.Route) []byte {
	b = append(b, `{"id":`...)
	b = appendString(b, r.Name)
	b = append(b, `,"object":"model","created":`...)
	b = strconv.AppendInt(b, r.Created, 10)
	b = append(b, `,"owned_by":`...)
	b = appendString(b, r.OwnedBy)
	return append(b, '}')
}

func writeJSON(ctx *fasthttp.RequestCtx, body []byte) {
	ctx.Response.Header.Set("X-Request-Id", newID())
	ctx.Response.Header.SetContentTypeBytes(typeJSON)
	ctx.Response.SetBodyRaw(body)
}

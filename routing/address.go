package routing

import (
	"net/netip"
	"net/url"
	"strings"
)

// Networks that are nobody's public address and that net/netip does not call private.
var (
	carrierGrade = netip.MustParsePrefix("100.64.0.0/10") // RFC 6598
	thisNetwork  = netip.MustParsePrefix("0.0.0.0/8")     // RFC 1122, §3.2.1.3
	nat64        = netip.MustParsePrefix("64:ff9b::/96")  // RFC 6052: an IPv4 address stands in its last four bytes
)

// Private tells whether an address belongs to this machine or a network behind it, so that it is dialled only for
// a provider with allow_private. Who dials asks with the final address, after names are resolved.
func Private(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if nat64.Contains(a) {
		b := a.As16()
		a = netip.AddrFrom4([4]byte(b[12:]))
	}
	return !a.IsGlobalUnicast() || a.IsPrivate() || carrierGrade.Contains(a) || thisNetwork.Contains(a)
}

// privateHost tells whether a URL names a private address without any look-up.
func privateHost(u *url.URL) bool {
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	if a, err := netip.ParseAddr(host); err == nil {
		return Private(a)
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

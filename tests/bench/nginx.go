package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// nginxConfig is a plain reverse proxy as a careful operator would set it up for streams: one worker, kept-alive
// upstream connections, no buffering, and one access-log line a call, written in batches as Vel's are.
const nginxConfig = `
%[1]s
daemon off;
worker_processes 1;
worker_rlimit_nofile %[2]d;
pid nginx.pid;
error_log error.log warn;
events { worker_connections %[2]d; }
http {
    log_format call '$remote_addr $time_iso8601 $request_id "$request" $status $body_bytes_sent $request_time $upstream_response_time $upstream_addr "$http_user_agent"';
    access_log %[3]s;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
    upstream provider {
        server %[4]s;
        keepalive 512;
        keepalive_requests 1000000000;
        keepalive_timeout 600s;
    }
    server {
        listen %[5]s backlog=4096;
        location / {
            proxy_pass %[6]s://provider;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
            proxy_read_timeout 600s;
        }
    }
}
`

// nginxContender is nginx with or without its access log.
func nginxContender(name, cpus string, accessLog bool) contender {
	return contender{name: name, launch: func(s site) (*process, error) {
		access, user, scheme := "off", "", "http"
		if accessLog {
			access = "access.log call buffer=64k flush=1s"
		}
		if os.Geteuid() == 0 {
			user = "user root;" // its files lie in our directory
		}
		if s.secure {
			scheme = "https"
		}
		text := fmt.Sprintf(nginxConfig, user, nginxFiles, access, s.upstream, s.listen, scheme)
		file := filepath.Join(s.dir, "nginx.conf")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return nil, err
		}
		return startProcess(s.dir, name, nil, pinned(cpus, []string{"nginx", "-p", s.dir, "-c", file, "-e", "error.log"}))
	}}
}

const nginxFiles = 20000

// ensureNginx installs nginx from the system's packages where it is missing and we may.
func ensureNginx(ctx context.Context) error {
	if _, err := exec.LookPath("nginx"); err == nil {
		return nil
	}
	missing := errors.New("nginx is missing: install it from the system's packages")
	if os.Geteuid() != 0 {
		return missing
	}
	for _, argv := range [][]string{
		{"apt-get", "install", "-y", "--no-install-recommends", "nginx"},
		{"dnf", "install", "-y", "nginx"},
		{"apk", "add", "nginx"},
	} {
		if _, err := exec.LookPath(argv[0]); err != nil {
			continue
		}
		progress("nginx is missing: %s", strings.Join(argv, " "))
		cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
		// Run level 1 keeps Debian's package from starting a server of its own.
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%w (%s failed: %w)\n%s", missing, argv[0], err, out)
		}
		return nil
	}
	return missing
}

func nginxVersion(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "nginx", "-v").CombinedOutput()
	if err != nil {
		return "nginx ?"
	}
	_, version, _ := strings.Cut(strings.TrimSpace(string(out)), "version: ")
	return strings.Replace(version, "/", " ", 1)
}

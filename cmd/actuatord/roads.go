package main

import (
	"context"
	"crypto/x509"
	"log/slog"
	"time"

	"actuatord/agent/config"
	"actuatord/hub"
	"actuatord/hub/dial"
	"actuatord/hub/https"
	"actuatord/hub/link"
	"actuatord/hub/mqtt"
)

// roads is how the configuration says that the hub is reached. In all of its
// methods at is the time that certificates are judged by.
type roads struct {
	hub   config.Hub
	roots *x509.CertPool
	log   *slog.Logger
}

func newRoads(c config.Hub, log *slog.Logger) (roads, error) {
	roots, err := dial.Roots(c.CAFile)
	return roads{c, roots, log}, err
}

func (r roads) road(at func() time.Time) dial.Config {
	return dial.Config{Roots: r.roots, Proxy: r.hub.Proxy, Now: at}
}

func (r roads) session(rung link.Rung, id hub.ConnectionString, at func() time.Time) mqtt.Config {
	m := mqtt.Config{
		Host: id.HostName, Gateway: id.GatewayHostName, Port: r.hub.MQTTPort, DeviceID: id.DeviceID,
		KeepAlive: r.hub.KeepAlive, Road: r.road(at), Log: r.log,
	}
	if rung == link.RungWebSocket {
		m.WebSocket, m.Port = true, r.hub.WebSocketPort
	}
	return m
}

func (r roads) rest(id hub.ConnectionString, at func() time.Time) https.Config {
	return https.Config{Host: id.HostName, Gateway: id.GatewayHostName, Port: r.hub.HTTPSPort, DeviceID: id.DeviceID, Road: r.road(at)}
}

func (r roads) connect(ctx context.Context, rung link.Rung, generation uint64, id hub.ConnectionString, at func() time.Time, password string) (*mqtt.Session, error) {
	return mqtt.Connect(ctx, r.session(rung, id, at), generation, password)
}

func (r roads) probe(ctx context.Context, rung link.Rung, id hub.ConnectionString, at func() time.Time) error {
	return mqtt.Probe(ctx, r.session(rung, id, at))
}

func (r roads) client(id hub.ConnectionString, at func() time.Time) *https.Client {
	return https.New(r.rest(id, at))
}

func (r roads) checkKey(ctx context.Context, id hub.ConnectionString, at func() time.Time, token string) error {
	return https.CheckKey(ctx, r.rest(id, at), token)
}

func (r roads) time(ctx context.Context, id hub.ConnectionString, at func() time.Time, lax bool) (date, arrived time.Time, err error) {
	return https.Time(ctx, r.rest(id, at), lax)
}

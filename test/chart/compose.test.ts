import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { settings } from "#runtime/config.ts";
import { registry } from "../../services/registry.ts";
import { type Rendered, read } from "./chart.ts";

const { services, volumes }: Rendered = parse(read("compose.yaml"), { merge: true });
const roles = ["gateway", ...registry.map(({ name }) => name)];

describe("compose.yaml", () => {
  it("has every process of Waymark, under the name by which the others find it", () => {
    for (const role of roles) expect(services[role]?.command, role).toEqual([role]);
    expect(services.gateway.environment.WAYMARK_PEERS).toBe(settings.peers.fallback);
  });

  it("runs them all from the one image that the Dockerfile makes, as weak as they can be", () => {
    for (const role of roles) {
      expect(services[role]).toMatchObject({ image: "waymark:local", build: ".", read_only: true, cap_drop: ["ALL"] });
    }
  });

  it("sets only what are settings, and keys only from outside", () => {
    const known: string[] = Object.values(settings).map(({ env }) => env);
    for (const role of roles) {
      const { environment } = services[role];
      expect(Object.keys(environment).filter((name) => !known.includes(name))).toEqual([]);
      expect(environment.WAYMARK_MASTER_KEY).toMatch(/^\$\{WAYMARK_MASTER_KEY:\?/);
    }
    const withAdminKey = roles.filter((role) => services[role].environment.WAYMARK_ADMIN_KEY !== undefined);
    expect(withAdminKey).toEqual(["access"]);
  });

  it("asks every process whether it is ready, at the port that it has", () => {
    for (const role of roles) {
      const port = role === "gateway" ? settings.port.fallback : settings.healthPort.fallback;
      expect(services[role].healthcheck.test.join(" ")).toContain(`http://127.0.0.1:${port}/readyz`);
    }
  });

  it("starts them when NATS and MongoDB are healthy", () => {
    for (const name of ["nats", "mongodb"]) {
      expect(services[name].healthcheck.test[0]).toBe("CMD");
      for (const role of roles) expect(services[role].depends_on[name]).toEqual({ condition: "service_healthy" });
    }
  });

  it("keeps what must be kept in volumes that exist", () => {
    const used = Object.values<Rendered>(services).flatMap((one) => one.volumes ?? []);
    const named = used.filter((one: string) => !one.startsWith("./")).map((one: string) => one.split(":")[0]);
    expect(named.sort()).toEqual(Object.keys(volumes).sort());
  });

  it("sends traces through the collector to the viewer", () => {
    const { receivers, exporters, service } = parse(read("deploy/collector.yaml"));
    expect(services.gateway.environment.OTEL_EXPORTER_OTLP_ENDPOINT).toBe("http://collector:4318");
    expect(receivers.otlp.protocols.http.endpoint).toBe("0.0.0.0:4318");
    expect(services[exporters.otlp_grpc.endpoint.split(":")[0]].image).toMatch(/^jaegertracing\/jaeger:/);
    expect(service.pipelines.traces).toMatchObject({ receivers: ["otlp"], exporters: ["otlp_grpc"] });
  });

  it("pins every image, to the versions that the chart has", () => {
    const images = Object.values<Rendered>(services).map(({ image }) => image);
    expect(images.filter((image) => !/:(local|\d+\.\d+\.\d+(-alpine)?)$/.test(image))).toEqual([]);
    const chart = parse(read("charts/waymark/values.yaml"));
    expect([services.nats.image, services.mongodb.image]).toEqual([chart.nats.image, chart.mongodb.image]);
  });
});

import { describe, expect, it } from "vitest";
import { settings } from "#runtime/config.ts";
import { registry } from "../../services/registry.ts";
import { isMissing } from "../support/servers.ts";
import {
  byName,
  containerOf,
  envOf,
  helm,
  type Rendered,
  read,
  render,
  SERVICES,
  valueFiles,
  workloads,
} from "./chart.ts";

const NAMES = ["gateway", ...registry.map(({ name }) => name)].sort();

describe.skipIf(isMissing("helm", helm))("the pods of the shape services", () => {
  const all = workloads(helm === undefined ? [] : render({ set: SERVICES }));

  it("are those of the gateway and of every service, each with its role", () => {
    expect(Object.keys(all).sort()).toEqual(NAMES);
    for (const [name, workload] of Object.entries(all)) expect(containerOf(workload).args).toEqual([name]);
  });

  it("find each other by the Services that the chart makes", () => {
    const services = byName(render({ set: SERVICES }), "Service");
    const { WAYMARK_PEERS: peers } = envOf(all.gateway);
    expect(peers).toBe("*=dns:///waymark-{service}:9090");
    for (const { name } of registry) {
      const service = services[`waymark-${name}`];
      expect(service.spec.clusterIP).toBe("None");
      expect(service.spec.ports.map(({ port }: Rendered) => port)).toEqual([9090, 9091]);
    }
  });

  it("are asked over gRPC for their own service, and whether they live; the gateway over HTTP", () => {
    const { readinessProbe, livenessProbe, startupProbe } = containerOf(all.tags);
    expect(readinessProbe.grpc).toEqual({ port: 9090, service: "tags" });
    expect(livenessProbe.grpc).toEqual({ port: 9090, service: "live" });
    expect(startupProbe.grpc).toEqual({ port: 9090, service: "live" });
    expect(containerOf(all.gateway).readinessProbe.httpGet).toEqual({ path: "/readyz", port: "http" });
    expect(containerOf(all.gateway).livenessProbe.httpGet).toEqual({ path: "/livez", port: "http" });
  });

  it("get the secrets that they need and no others", () => {
    const having = (name: string) => NAMES.filter((one) => envOf(all[one])[name] !== undefined);
    expect(having("WAYMARK_MASTER_KEY")).toEqual(NAMES);
    expect(having("WAYMARK_ADMIN_KEY")).toEqual(["access"]);
    expect(having("WAYMARK_TAG_KEY")).toEqual(["tags"]);
    expect(envOf(all.tags).WAYMARK_TAG_KEY.secretKeyRef).toMatchObject({ name: "waymark-keys", optional: true });
    expect(envOf(all.tags).WAYMARK_MASTER_KEY.secretKeyRef.optional).toBeUndefined();
  });

  it("use MongoDB where the service keeps documents, and NATS always", () => {
    const keeping = registry.filter(({ collections, projections }) => collections.length > 0 || projections?.length);
    const having = NAMES.filter((name) => envOf(all[name]).WAYMARK_MONGODB_URL !== undefined);
    expect(having).toEqual(keeping.map(({ name }) => name).sort());
    expect(NAMES.filter((name) => envOf(all[name]).WAYMARK_NATS_URL === undefined)).toEqual([]);
  });

  it("take over from each other without a gap", () => {
    const { spec } = all.scans;
    expect(spec.strategy.rollingUpdate).toEqual({ maxSurge: 1, maxUnavailable: 0 });
    expect(containerOf(all.scans).lifecycle.preStop).toEqual({ sleep: { seconds: 6 } });
  });

  it("are asked over HTTP with mutual TLS, which the kubelet does not speak over gRPC", () => {
    const secure = workloads(render({ file: "tls-values.yaml" }));
    const { readinessProbe, volumeMounts } = containerOf(secure.tags);
    expect(readinessProbe.httpGet).toEqual({ path: "/readyz", port: "health" });
    expect(volumeMounts).toContainEqual({ name: "tls", mountPath: "/tls", readOnly: true });
    expect(envOf(secure.tags)).toMatchObject({
      WAYMARK_TLS_CERT: "/tls/tls.crt",
      WAYMARK_TLS_KEY: "/tls/tls.key",
      WAYMARK_TLS_CA: "/tls/ca.crt",
    });
  });

  it("take URLs out of a Secret when it is named", () => {
    const closed = workloads(render({ file: "network-policy-values.yaml" }));
    const { WAYMARK_MONGODB_URL: url, WAYMARK_NATS_URL: nats } = envOf(closed.scans);
    expect(url).toEqual({ secretKeyRef: { name: "waymark-servers", key: "mongodb" } });
    expect(nats).toEqual({ secretKeyRef: { name: "waymark-servers", key: "nats" } });
  });

  it("keep their folder where persistence is on, as a StatefulSet; elsewhere it goes with the pod", () => {
    const kept = workloads(render({ file: "persistence-values.yaml" }));
    const kinds = Object.entries(kept).filter(([, { kind }]) => kind === "StatefulSet");
    expect(kinds.map(([name]) => name).sort()).toEqual(["analytics", "gateway"]);
    expect(kept.analytics.spec.volumeClaimTemplates[0].spec.resources.requests.storage).toBe("50Gi");
    expect(kept.gateway.spec.volumeClaimTemplates[0].spec.storageClassName).toBe("fast");
    expect(kept.tags.spec.template.spec.volumes).toEqual([{ name: "data", emptyDir: { sizeLimit: "2Gi" } }]);
  });
});

describe.skipIf(helm === undefined)("the pod of the shape allInOne", () => {
  const all = workloads(helm === undefined ? [] : render({ file: "all-in-one-values.yaml" }));

  it("is one, with a volume, and connects to nothing", () => {
    expect(Object.keys(all)).toEqual(["all"]);
    expect(all.all).toMatchObject({ kind: "StatefulSet", spec: { replicas: 1 } });
    expect(all.all.spec.volumeClaimTemplates[0].metadata.name).toBe("data");
    const names = Object.keys(envOf(all.all));
    expect(names.filter((name) => /NATS|MONGODB|PEERS|TLS/.test(name))).toEqual([]);
  });

  it("stops at once, since nobody takes over", () => {
    expect(containerOf(all.all).lifecycle).toBeUndefined();
    expect(all.all.spec.template.spec.terminationGracePeriodSeconds).toBe(30);
  });
});

describe.skipIf(helm === undefined)("every pod", () => {
  const pods = (file: string): Rendered[] =>
    render({ file }).flatMap((object) => (object.kind === "Pod" ? [object.spec] : (object.spec?.template?.spec ?? [])));

  it.each(valueFiles)("of %s fits the standard `restricted`, with a root that cannot be written to", (file) => {
    for (const pod of pods(file)) {
      expect(pod.securityContext).toMatchObject({ runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } });
      expect(pod.automountServiceAccountToken).toBe(false);
      for (const { securityContext, resources } of pod.containers) {
        expect(securityContext).toEqual({
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ["ALL"] },
        });
        expect(Object.keys(resources.requests)).toEqual(expect.arrayContaining(["cpu", "memory"]));
        expect(resources.limits.memory).toBeDefined();
      }
    }
  });

  it.each(valueFiles)("of %s has a pinned image", (file) => {
    const images = pods(file).flatMap(({ containers }) => containers.map(({ image }: Rendered) => image));
    expect(images.filter((image) => !/:[^:]+$/.test(image) || /:latest$/.test(image))).toEqual([]);
  });

  it.each(valueFiles)("of %s is set up by settings that exist", (file) => {
    const known: string[] = Object.values(settings).map(({ env }) => env);
    const named = Object.values(workloads(render({ file }))).flatMap((one) => Object.keys(envOf(one)));
    const ours = named.filter((name) => name.startsWith("WAYMARK_") || name === "PORT");
    expect(ours.filter((name) => !known.includes(name))).toEqual([]);
  });

  it("has ten seconds more to stop than the process takes before it gives up", () => {
    const [, limit] = /setTimeout\(\(\) => process\.exit\(1\), ([\d_]+)\)/.exec(read("services/main.ts")) ?? [];
    const { terminationGracePeriodSeconds: grace } = workloads(render({ set: SERVICES })).scans.spec.template.spec;
    expect(grace).toBe(6 + Number(limit?.replace("_", "")) / 1000 + 10);
  });
});

import { describe, expect, it } from "vitest";
import { decodeKey, publicUrlOf, readConfig, settings } from "./config.ts";

const HEX = "0123456789abcdef".repeat(4);
const BASE64 = Buffer.from(HEX, "hex").toString("base64");

/** What is said about a configuration; "" when it is taken. */
function fault(env: Record<string, string>): string {
  try {
    readConfig(env);
    return "";
  } catch (error) {
    return (error as Error).message;
  }
}

it("an empty environment gives the defaults", () => {
  const expected = { port: 8080, host: "0.0.0.0", data: "./data", demo: "on", logLevel: "info", trustedProxies: [] };
  const many = {
    natsStream: "WAYMARK",
    natsReplicas: 1,
    logRetentionDays: 0,
    exportsMaxGb: 5,
    healthPort: 9091,
    peers: new Map([["*", "dns:///{service}:9090"]]),
  };
  expect(readConfig({})).toEqual({ ...expected, rateLimits: {}, ...many });
});

it("an empty variable counts as absent", () => {
  const empty = Object.fromEntries(Object.values(settings).map(({ env }) => [env, ""]));
  expect(readConfig(empty)).toEqual(readConfig({}));
});

describe("a setting is read", () => {
  it.each<[string, string, string, unknown]>([
    ["PORT", "0", "port", 0],
    ["PORT", "65535", "port", 65535],
    ["WAYMARK_HOST", "::1", "host", "::1"],
    ["WAYMARK_GRPC_PORT", "9090", "grpcPort", 9090],
    ["WAYMARK_DATA", "/var/lib/waymark", "data", "/var/lib/waymark"],
    ["WAYMARK_PUBLIC_URL", "https://qr.example.com//", "publicUrl", "https://qr.example.com"],
    ["WAYMARK_PUBLIC_URL", "http://localhost:8080/base/", "publicUrl", "http://localhost:8080/base"],
    ["WAYMARK_ADMIN_KEY", "a".repeat(24), "adminKey", "a".repeat(24)],
    ["WAYMARK_DEMO", "off", "demo", "off"],
    ["WAYMARK_TAG_KEY", HEX, "tagKey", HEX],
    ["WAYMARK_TAG_KEY", BASE64, "tagKey", BASE64],
    [
      "WAYMARK_TRUSTED_PROXIES",
      " 10.0.0.0/8, ::1 ,,fd00::/8,127.0.0.1",
      "trustedProxies",
      ["10.0.0.0/8", "::1", "fd00::/8", "127.0.0.1"],
    ],
    ["WAYMARK_NATS_STREAM", "SHOP-1", "natsStream", "SHOP-1"],
    ["WAYMARK_NATS_URL", "nats://a:4222, tls://b:4222", "natsUrl", ["nats://a:4222", "tls://b:4222"]],
    ["WAYMARK_NATS_REPLICAS", "3", "natsReplicas", 3],
    [
      "WAYMARK_MONGODB_URL",
      "mongodb://a:27017,b:27017/shop?tls=true",
      "mongodbUrl",
      "mongodb://a:27017,b:27017/shop?tls=true",
    ],
    ["WAYMARK_MASTER_KEY", HEX, "masterKey", HEX],
    [
      "WAYMARK_PEERS",
      " *=dns:///{service}:9090  scans=ipv4:10.0.0.1:9090,10.0.0.2:9090 ",
      "peers",
      new Map([
        ["*", "dns:///{service}:9090"],
        ["scans", "ipv4:10.0.0.1:9090,10.0.0.2:9090"],
      ]),
    ],
    ["WAYMARK_RATE_LIMITS", "off", "rateLimits", "off"],
    [
      "WAYMARK_RATE_LIMITS",
      "scan=30/60, contact=0/3600,",
      "rateLimits",
      { scan: { count: 30, seconds: 60 }, contact: { count: 0, seconds: 3600 } },
    ],
    ["WAYMARK_LOG_LEVEL", "silent", "logLevel", "silent"],
    ["WAYMARK_PLACE_DATABASE", "/maps", "placeDatabase", "/maps"],
    ["OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/", "otlpEndpoint", "http://collector:4318"],
  ])("%s=%s", (env, text, name, value) => {
    expect(readConfig({ [env]: text })).toMatchObject({ [name]: value });
  });

  it("every one of them is in the table above", () => {
    expect(Object.keys(settings).sort()).toEqual(
      "adminKey data demo exportsMaxGb grpcPort healthPort host logLevel logRetentionDays masterKey mongodbUrl natsReplicas natsStream natsUrl otlpEndpoint peers placeDatabase port publicUrl rateLimits tagKey tlsCa tlsCert tlsKey trustedProxies".split(
        " ",
      ),
    );
  });
});

describe("a wrong value is refused with what is allowed and what it is", () => {
  it.each([
    ["PORT", "65536", "a whole number from 0 to 65535"],
    ["PORT", "-1", "a whole number"],
    ["PORT", "80.5", "a whole number"],
    ["PORT", "0x50", "a whole number"],
    ["PORT", "1e3", "a whole number"],
    ["PORT", " 80", "a whole number"],
    ["PORT", "http", "a whole number"],
    ["WAYMARK_GRPC_PORT", "99999", "a whole number"],
    ["WAYMARK_PUBLIC_URL", "qr.example.com", "an http or https URL"],
    ["WAYMARK_PUBLIC_URL", "ftp://qr.example.com", "an http or https URL"],
    ["WAYMARK_PUBLIC_URL", "https://qr.example.com/?a=1", "without query"],
    ["WAYMARK_PUBLIC_URL", "https://qr.example.com/#a", "without query"],
    ["WAYMARK_DEMO", "yes", "one of on, off"],
    ["WAYMARK_LOG_LEVEL", "verbose", "one of debug, info, warn, error, silent"],
    ["WAYMARK_TRUSTED_PROXIES", "10.0.0.0/33", "a comma list of addresses or CIDRs"],
    ["WAYMARK_TRUSTED_PROXIES", "proxy.internal", "a comma list of addresses or CIDRs"],
    ["WAYMARK_TRUSTED_PROXIES", "127.0.0.1,10", "a comma list of addresses or CIDRs"],
    ["WAYMARK_TRUSTED_PROXIES", "::1/129", "a comma list of addresses or CIDRs"],
    ["WAYMARK_RATE_LIMITS", "scan=30", "class=count/seconds"],
    ["WAYMARK_RATE_LIMITS", "scan=30/0", "class=count/seconds"],
    ["WAYMARK_RATE_LIMITS", "scan=-1/60", "class=count/seconds"],
    ["WAYMARK_RATE_LIMITS", "scan=30/60;contact=5/60", "class=count/seconds"],
    ["WAYMARK_RATE_LIMITS", "scna=30/60", "of the classes default, query, intake, scan,"],
    ["OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318", "an http or https URL"],
  ])("%s=%s", (env, value, allowed) => {
    const said = fault({ [env]: value });
    expect(said).toContain("the configuration has 1 fault(s)");
    expect(said).toContain(`${env} must be `);
    expect(said).toContain(allowed);
    expect(said).toContain(JSON.stringify(value));
    expect(said).not.toMatch(/ipaddr|TypeError|undefined/);
  });

  it.each([
    ["WAYMARK_ADMIN_KEY", "hunter2"],
    ["WAYMARK_MASTER_KEY", "hunter2"],
    ["WAYMARK_MONGODB_URL", "mongodb://ada:hunter2@db:27017"],
    ["WAYMARK_NATS_URL", "http://ada:hunter2@nats:4222"],
    ["WAYMARK_ADMIN_KEY", "hunter2 with blanks in it, long"],
    ["WAYMARK_ADMIN_KEY", "hunter2-ü-0123456789abcdef"],
    ["WAYMARK_TAG_KEY", "hunter2"],
    ["WAYMARK_TAG_KEY", HEX.slice(2)],
    ["WAYMARK_TAG_KEY", `${HEX.slice(0, 63)}g`],
    ["WAYMARK_TAG_KEY", `${BASE64.slice(0, 20)} ${BASE64.slice(20)}`],
  ])("%s never with the value: %s", (env, value) => {
    expect(fault({ [env]: value })).toContain(`${env} must be `);
    expect(fault({ [env]: value })).not.toContain(value);
  });

  it("and all of them at once", () => {
    const said = fault({ PORT: "x", WAYMARK_DEMO: "x", WAYMARK_TAG_KEY: "x", WAYMARK_ADMIN_KEY: "x" });
    expect(said.split("\n")).toHaveLength(5);
    for (const env of ["PORT", "WAYMARK_DEMO", "WAYMARK_TAG_KEY", "WAYMARK_ADMIN_KEY"])
      expect(said).toContain(`\n  ${env} must be`);
  });
});

it("each setting says what it does in sentences, under a name of its own", () => {
  const all = Object.values(settings);
  expect(new Set(all.map(({ env }) => env)).size).toBe(all.length);
  for (const { env, says } of all) {
    expect(env).toMatch(/^(PORT|WAYMARK_[A-Z_]+|OTEL_[A-Z_]+)$/);
    expect(says).toMatch(/^[A-Z0-9a-z].+\.$/);
  }
});

it.each([
  [HEX, HEX],
  [HEX.toUpperCase(), HEX],
  [BASE64, HEX],
  [BASE64.replace("=", ""), HEX],
  [Buffer.alloc(32, 0xff).toString("base64url"), "ff".repeat(32)],
])("a key of 32 bytes from %s", (text, expected) => expect(decodeKey(text).toString("hex")).toBe(expected));

it("URLs are handed out from the public one, or from this machine", () => {
  expect(publicUrlOf({ publicUrl: "https://qr.example.com", port: 1 })).toBe("https://qr.example.com");
  expect(publicUrlOf({ publicUrl: undefined, port: 8080 })).toBe("http://localhost:8080");
});

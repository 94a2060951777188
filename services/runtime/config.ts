import ipaddr from "ipaddr.js";

/** One setting: the environment variable, how its text is read, its default, and what it does. */
interface Setting<T, F extends string | undefined> {
  env: string;
  /** The default as its text; undefined: no default, the value may be absent. */
  fallback: F;
  says: string;
  /** Reads the text; throws an Error that says what is allowed. */
  read: (text: string) => T;
}

function setting<T, F extends string | undefined>(
  env: string,
  fallback: F,
  says: string,
  read: (text: string) => T,
): Setting<T, F> {
  return { env, fallback, says, read };
}

const text = (value: string): string => value;

function integer(min: number, max: number): (value: string) => number {
  return (value) => {
    const number = /^\d{1,15}$/.test(value) ? Number(value) : Number.NaN;
    if (!(number >= min && number <= max)) throw new Error(`a whole number from ${min} to ${max}`);
    return number;
  };
}

function oneOf<const T extends readonly string[]>(...words: T): (value: string) => T[number] {
  return (value) => {
    if (!words.includes(value)) throw new Error(`one of ${words.join(", ")}`);
    return value as T[number];
  };
}

function url(value: string): string {
  const parsed = URL.parse(value);
  const isBase = parsed !== null && /^https?:$/.test(parsed.protocol) && !/[?#\s]/.test(value);
  if (!isBase) throw new Error("an http or https URL without query");
  return value.replace(/\/+$/, "");
}

function cidrs(value: string): readonly string[] {
  const list = value
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
  for (const part of list) {
    const isKnown = part.includes(":")
      ? ipaddr.IPv6.isValid(part) || ipaddr.IPv6.isValidCIDR(part)
      : ipaddr.IPv4.isValidFourPartDecimal(part) || ipaddr.IPv4.isValidCIDRFourPartDecimal(part);
    if (!isKnown) throw new Error("a comma list of addresses or CIDRs, as 10.0.0.0/8");
  }
  return list;
}

/** A key goes in a header, so it can have no blank in it. */
function adminKey(value: string): string {
  if (!/^[\x21-\x7e]{24,}$/.test(value)) throw new Error("at least 24 characters: ASCII letters, digits and signs");
  return value;
}

/** 32 bytes as hex, or as base64 of either alphabet, with or without the padding. */
export function decodeKey(value: string): Buffer {
  if (/^[0-9a-f]{64}$/i.test(value)) return Buffer.from(value, "hex");
  if (!/^[A-Za-z0-9+/_-]{43}=?$/.test(value)) throw new Error("32 bytes as hex or base64");
  return Buffer.from(value, "base64");
}

function key32(value: string): string {
  decodeKey(value);
  return value;
}

function mongodbUrl(value: string): string {
  if (!/^mongodb(\+srv)?:\/\/[^/\s]+\/[^/?\s]+(\?\S*)?$/.test(value)) {
    throw new Error("a mongodb:// or mongodb+srv:// URL with the name of a database, as mongodb://host:27017/waymark");
  }
  return value;
}

function natsUrls(value: string): readonly string[] {
  const urls = value.split(",").map((part) => part.trim());
  for (const one of urls) {
    if (!/^(nats|tls):\/\/\S+$/.test(one)) throw new Error("nats:// or tls:// URLs by comma, as nats://host:4222");
  }
  return urls;
}

function streamName(value: string): string {
  if (!/^[A-Z][A-Z0-9_-]{0,31}$/.test(value)) throw new Error("up to 32 capital letters, digits, - and _");
  return value;
}

/** gRPC target of each service: by name, or of all others by `*`, where {service} stands for the name. */
export type Peers = ReadonlyMap<string, string>;

function peers(value: string): Peers {
  const targets = new Map<string, string>();
  for (const part of value.split(/\s+/).filter((piece) => piece !== "")) {
    const [, name, target] = /^(\*|[a-z]+)=(\S+)$/.exec(part) ?? [];
    if (name === undefined || target === undefined) {
      throw new Error("service=target by blank, as *=dns:///{service}:9090 scans=ipv4:10.0.0.1:9090,10.0.0.2:9090");
    }
    targets.set(name, target);
  }
  return targets;
}

/** Limits of rate classes in place of the defaults: `off`, or `class=count/seconds` by comma. "scan=30/60,contact=5/60" */
export type RateLimits = "off" | Readonly<Record<string, { count: number; seconds: number }>>;

/** What limits count by: the rate class of a method, else the class of the key; `default` is every key's without one of its own. */
const RATE_CLASSES: readonly string[] = [
  ...["default", "query", "intake", "scan", "emergency", "contact", "public", "stranger"],
  ...["admin", "development", "production", "analytics", "publishable", "internal"],
];

function rateLimits(value: string): RateLimits {
  if (value === "off") return "off";
  const limits: Record<string, { count: number; seconds: number }> = {};
  for (const part of value.split(",").filter((piece) => piece.trim() !== "")) {
    const [, name = "", count, seconds] = /^([a-z]+)=([0-9]{1,9})\/([1-9][0-9]{0,5})$/.exec(part.trim()) ?? [];
    if (name === "") throw new Error("off, or class=count/seconds by comma, as scan=30/60");
    if (!RATE_CLASSES.includes(name)) throw new Error(`of the classes ${RATE_CLASSES.join(", ")}`);
    limits[name] = { count: Number(count), seconds: Number(seconds) };
  }
  return limits;
}

/** Every setting of Waymark. docs/configuration.md is this table. */
export const settings = {
  port: setting("PORT", "8080", "Port of the gateway. 0 takes a free one.", integer(0, 65535)),
  host: setting("WAYMARK_HOST", "0.0.0.0", "Address that the gateway listens on.", text),
  grpcPort: setting(
    "WAYMARK_GRPC_PORT",
    undefined,
    "Port on which internal callers reach all services over gRPC, with their key in the metadata. Closed by default.",
    integer(0, 65535),
  ),
  data: setting("WAYMARK_DATA", "./data", "Folder that holds everything in the all-in-one.", text),
  publicUrl: setting(
    "WAYMARK_PUBLIC_URL",
    undefined,
    "Base of the URLs that we hand out. Without it http://localhost:PORT.",
    url,
  ),
  adminKey: setting(
    "WAYMARK_ADMIN_KEY",
    undefined,
    "An admin key of the workspace `default`, 24 characters or more; a changed one takes the place of the one before. Without it the first start makes one and prints it once.",
    adminKey,
  ),
  demo: setting(
    "WAYMARK_DEMO",
    "on",
    "Seed the workspace `demo` when the data folder is empty: on or off.",
    oneOf("on", "off"),
  ),
  tagKey: setting(
    "WAYMARK_TAG_KEY",
    undefined,
    "32 bytes as hex or base64: encrypts the ids on printed tags. Without it a key file is made in the data folder.",
    key32,
  ),
  masterKey: setting(
    "WAYMARK_MASTER_KEY",
    undefined,
    "32 bytes as hex or base64, from which all other keys come; the same in every process of one Waymark. Without it the all-in-one makes a key file in the data folder; separate processes refuse to start.",
    key32,
  ),
  mongodbUrl: setting(
    "WAYMARK_MONGODB_URL",
    undefined,
    "MongoDB that holds the documents, with the name of a database. Without it SQLite in the data folder. Goes with WAYMARK_NATS_URL.",
    mongodbUrl,
  ),
  natsUrl: setting(
    "WAYMARK_NATS_URL",
    undefined,
    "NATS servers with JetStream that hold the log, by comma. Without it SQLite in the data folder. Goes with WAYMARK_MONGODB_URL.",
    natsUrls,
  ),
  natsStream: setting(
    "WAYMARK_NATS_STREAM",
    "WAYMARK",
    "Name of the stream on NATS; its subjects begin with the name in lower case. Every Waymark that shares a NATS has its own.",
    streamName,
  ),
  natsReplicas: setting(
    "WAYMARK_NATS_REPLICAS",
    "1",
    "Servers of a NATS cluster that keep a copy of the log: 1, 3 or 5.",
    (value) => Number(oneOf("1", "3", "5")(value)),
  ),
  logRetentionDays: setting(
    "WAYMARK_LOG_RETENTION_DAYS",
    "0",
    "Days that NATS keeps the log. 0 keeps everything.",
    integer(0, 36_500),
  ),
  exportsMaxGb: setting("WAYMARK_EXPORTS_MAX_GB", "5", "Most GB of exported files on a disk.", integer(1, 1e6)),
  peers: setting(
    "WAYMARK_PEERS",
    "*=dns:///{service}:9090",
    "Where separate processes find each other: service=gRPC target by blank; `*` is all others, {service} the name.",
    peers,
  ),
  healthPort: setting(
    "WAYMARK_HEALTH_PORT",
    "9091",
    "Port of /livez, /readyz and /metrics of a service's own process. The gateway serves them on its own port. 0 takes a free one.",
    integer(0, 65535),
  ),
  tlsCert: setting(
    "WAYMARK_TLS_CERT",
    undefined,
    "File with the certificate (PEM) that this process shows to other processes over gRPC. With it, WAYMARK_TLS_KEY and WAYMARK_TLS_CA calls between processes are encrypted and both sides prove who they are.",
    text,
  ),
  tlsKey: setting("WAYMARK_TLS_KEY", undefined, "File with the private key (PEM) of WAYMARK_TLS_CERT.", text),
  tlsCa: setting(
    "WAYMARK_TLS_CA",
    undefined,
    "File with the certificates (PEM) of the authority that other processes' certificates must be signed by.",
    text,
  ),
  trustedProxies: setting(
    "WAYMARK_TRUSTED_PROXIES",
    "",
    "CIDRs of proxies whose X-Forwarded-For is believed. None by default.",
    cidrs,
  ),
  rateLimits: setting(
    "WAYMARK_RATE_LIMITS",
    "",
    "off, or class=count/seconds by comma in place of the defaults.",
    rateLimits,
  ),
  logLevel: setting(
    "WAYMARK_LOG_LEVEL",
    "info",
    "Least severity that is logged: debug, info, warn, error or silent.",
    oneOf("debug", "info", "warn", "error", "silent"),
  ),
  placeDatabase: setting(
    "WAYMARK_PLACE_DATABASE",
    undefined,
    "Folder with city databases in MaxMind format in place of the bundled ones.",
    text,
  ),
  otlpEndpoint: setting(
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    undefined,
    "Where traces are sent, OTLP over HTTP. Nowhere by default.",
    url,
  ),
} as const;

type Settings = typeof settings;
type Read<K extends keyof Settings> = ReturnType<Settings[K]["read"]>;

/** The configuration of this process. A setting without default is undefined when not set. */
export type Config = {
  readonly [K in keyof Settings]: Settings[K]["fallback"] extends string ? Read<K> : Read<K> | undefined;
};

/** Settings whose value is not repeated: keys, and URLs that may have a password in them. */
const MAY_HOLD_SECRETS = /_KEY$|_(MONGODB|NATS)_URL$/;

/** Reads all settings at once. Throws one Error that names every fault. */
export function readConfig(env: Readonly<Record<string, string | undefined>>): Config {
  const faults: string[] = [];
  const values: Record<string, unknown> = {};
  for (const [key, { env: name, fallback, read }] of Object.entries(settings)) {
    const value = env[name] || fallback;
    if (value === undefined) continue;
    try {
      values[key] = read(value);
    } catch (cause) {
      faults.push(
        `${name} must be ${(cause as Error).message}; it is ${MAY_HOLD_SECRETS.test(name) ? "something else" : JSON.stringify(value)}`,
      );
    }
  }
  if (faults.length > 0) throw new Error(`the configuration has ${faults.length} fault(s):\n  ${faults.join("\n  ")}`);
  return values as Config;
}

/** Base of the URLs that are handed out, without a slash at the end. */
export function publicUrlOf(config: Pick<Config, "publicUrl" | "port">): string {
  return config.publicUrl ?? `http://localhost:${config.port}`;
}

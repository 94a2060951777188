import { readConfig } from "./runtime/config.ts";
import type { Running, Terminal } from "./terminal.ts";

const SERVICES = "access codes scans impressions touchpoints tags emergency analytics";

const HELP = `Waymark: everything that happens when someone scans a QR code.

  npm start                 all services in this process, data in one folder
  npm start -- --help       this text

  PORT                      port of the gateway, default 8080
  WAYMARK_DATA              folder that holds everything, default ./data
  WAYMARK_PUBLIC_URL        base of the URLs that are handed out
  WAYMARK_ADMIN_KEY         an admin key, 24 characters or more
  WAYMARK_DEMO              on or off: seed a demo workspace into an empty folder

The same services as many processes, over NATS and MongoDB:

  node services/main.ts gateway       the door: REST, Connect, redirects, pages
  node services/main.ts <service>     one of ${SERVICES}

  WAYMARK_NATS_URL          nats://host:4222, with JetStream
  WAYMARK_MONGODB_URL       mongodb://host:27017/waymark
  WAYMARK_MASTER_KEY        32 bytes as hex; the same in all processes
  WAYMARK_PEERS             where they find each other, default *=dns:///{service}:9090

All settings: docs/configuration.md
`;

const words = process.argv.slice(2);
const [role = "all", ...rest] = words;

if (words.some((word) => ["--help", "-h", "help"].includes(word))) {
  process.stdout.write(HELP);
} else if (!["all", "gateway", ...SERVICES.split(" ")].includes(role) || rest.length > 0) {
  process.stderr.write(`waymark: unknown argument ${[role, ...rest].join(" ")}; try --help\n`);
  process.exitCode = 2;
} else {
  await run();
}

/** Starts, then stops in order at the first SIGTERM or SIGINT; a second one, or the limit, ends at once. */
async function run(): Promise<void> {
  try {
    // A stop that comes before everything has started has nothing to bring home.
    const early = (): never => process.exit(0);
    process.once("SIGTERM", early).once("SIGINT", early);
    const running = await start({
      say: (line) => process.stdout.write(`${line}\n`),
      fatal: (error) => leave(error),
    });
    process.off("SIGTERM", early).off("SIGINT", early);
    const stop = (): void => {
      process.once("SIGTERM", () => process.exit(1)).once("SIGINT", () => process.exit(1));
      setTimeout(() => process.exit(1), 20_000).unref();
      running.stop().then(() => process.exit(0), leave);
    };
    process.once("SIGTERM", stop).once("SIGINT", stop);
  } catch (error) {
    leave(error);
  }
}

/** Loads only what this role needs. */
async function start(terminal: Terminal): Promise<Running> {
  const config = readConfig(process.env);
  if (role === "all") return (await import("./all-in-one.ts")).startAllInOne(config, terminal);
  if (role === "gateway") return (await import("./gateway-role.ts")).startGatewayRole(config, terminal);
  const [{ startRole }, { isRole }] = await Promise.all([import("./role.ts"), import("./roles.ts")]);
  if (!isRole(role)) throw new Error(`there is no service ${role}`);
  return startRole(role, config, terminal);
}

function leave(error: unknown): never {
  process.stderr.write(`waymark: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}

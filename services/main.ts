import { startAllInOne } from "./all-in-one.ts";
import { readConfig } from "./runtime/config.ts";

const HELP = `Waymark: everything that happens when someone scans a QR code.

  npm start                 all services in this process, data in one folder
  npm start -- --help       this text

  PORT                      port of the gateway, default 8080
  WAYMARK_DATA              folder that holds everything, default ./data
  WAYMARK_PUBLIC_URL        base of the URLs that are handed out
  WAYMARK_ADMIN_KEY         an admin key, 24 characters or more
  WAYMARK_DEMO              on or off: seed a demo workspace into an empty folder

All settings: docs/configuration.md
`;

const words = process.argv.slice(2);
const [role = "all", ...rest] = words;

if (words.some((word) => ["--help", "-h", "help"].includes(word))) {
  process.stdout.write(HELP);
} else if (role !== "all" || rest.length > 0) {
  process.stderr.write(`waymark: unknown argument ${[role, ...rest].join(" ")}; try --help\n`);
  process.exitCode = 2;
} else {
  await run();
}

/** Starts, then stops in order at the first SIGTERM or SIGINT; a second one, or the limit, ends at once. */
async function run(): Promise<void> {
  try {
    const running = await startAllInOne(readConfig(process.env), {
      say: (line) => process.stdout.write(`${line}\n`),
      fatal: (error) => leave(error),
    });
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

function leave(error: unknown): never {
  process.stderr.write(`waymark: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}

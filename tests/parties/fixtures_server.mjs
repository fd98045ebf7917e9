// Serves @octokit/fixtures through its own middleware, on loopback only: node fixtures_server.mjs PORT
import express from "express";
import fixtures from "@octokit/fixtures-server";

const port = Number(process.argv[2]);
const app = express();
app.get("/ping", (_, answer) => answer.json({ ok: true }));
// A recording that is not used up is forgotten after two minutes.
app.use(fixtures({ port, fixturesUrl: `http://127.0.0.1:${port}`, ttl: 120_000, logLevel: "warn" }));
app.listen(port, "127.0.0.1");

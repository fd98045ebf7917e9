// Serves @octokit/fixtures through its own middleware, on loopback only: node fixtures_server.mjs PORT
import express from "express";
import fixtures from "@octokit/fixtures-server";

const port = Number(process.argv[2]);
const app = express();
app.get("/ping", (_, answer) => answer.json({ ok: true }));
// Recordings answer a request that is, header by header, the one that was recorded. GitHub takes either word before a
// token and either name of its media type; the recordings know the older ones.
app.use((request, _, next) => {
  const { authorization, accept } = request.headers;
  if (authorization) request.headers.authorization = authorization.replace(/^Bearer /, "token ");
  if (accept === "application/vnd.github+json") request.headers.accept = "application/vnd.github.v3+json";
  next();
});
// A recording that is not used up is forgotten after two minutes.
app.use(fixtures({ port, fixturesUrl: `http://127.0.0.1:${port}`, ttl: 120_000, logLevel: "warn" }));
app.listen(port, "127.0.0.1");

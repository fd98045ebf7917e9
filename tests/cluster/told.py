"""Whether people were told of everything: the episodes that the ledger holds beside the messages that came."""


def account(changes, messages):
    """What `list changes` says beside the messages of the webhook, as (id, body): whether they agree, and in words how.

    An episode is told when it opens, and again when it ends. One that ended before anybody could be told that it had
    opened is told once, by a message of its end that names both entries and says `told_before: false`.
    """
    opened, ended, first_look = set(), set(), {}
    for change in sorted((c for c in changes if c["kind"] == "deviation"), key=lambda c: c["entry"]):
        episode = (change["source"], change["subject"])
        if change["what"].startswith("DEVIATES"):
            first_look[episode] = change["baseline"]
            opened |= set() if change["baseline"] else {change["entry"]}
        # What was so on the first look is told in a summary, and its end not at all.
        elif not first_look.get(episode):
            ended.add(change["entry"])
    once = {number: body for number, body in messages if body["type"].startswith("deviation.")}
    firing = [body["data"] for body in once.values() if body["type"] == "deviation.firing"]
    ends = [body["data"] for body in once.values() if body["type"] != "deviation.firing"]
    # The entry that opened it stands first in both.
    late = [data for data in ends if not data["told_before"] and len(data["entries"]) == 2]
    heard = {data["entries"][0] for data in firing}
    both = {data["entries"][0] for data in late} - heard
    incidents = {}
    for data in firing + late:
        incidents.setdefault(data["entries"][0], set()).add(data["incident"])
    problems = {
        "opened and not told": sorted(opened - heard - both),
        "told and not opened": sorted((heard | both) - opened),
        "ended and not told": sorted(ended - {data["entries"][-1] for data in ends}),
        "two incidents": sorted(entry for entry, keys in incidents.items() if len(keys) > 1),
        "one incident for several": [] if len(set().union(*incidents.values())) == len(incidents) else ["some"],
    }
    repeated = sum(body["type"].startswith("deviation.") for _, body in messages) - len(once)
    said = "; ".join(f"{what}: {entries}" for what, entries in problems.items() if entries)
    return not said, (
        f"0 lost: {len(opened)} episodes opened, {len(heard)} told while they held, {len(both)} over before anybody could "
        f"be told and told by one message that says both; {len(ended)} ends, all told; none is two incidents; "
        f"{repeated} messages came again, under the id they had"
        if not said
        else f"of {len(opened)} episodes: {said}"
    )

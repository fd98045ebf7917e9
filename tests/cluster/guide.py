"""The guide, deploy/README.md, as something that can be run: its blocks of commands, by heading."""

import re
import subprocess

from stage import Failed, say


class Guide:
    """Blocks fenced as `sh`, by the heading that they stand under. Each is run as it stands."""

    def __init__(self, text, folder):
        self.folder, self.blocks, self.done = folder, {}, set()
        heading, block = None, None
        for line in text.splitlines():
            if block is not None:
                if line.startswith("```"):
                    self.blocks.setdefault(heading, []).append("\n".join(block))
                    block = None
                else:
                    block.append(line)
            elif line.startswith("```sh"):
                block = []
            elif match := re.match(r"#+ (.*)", line):
                heading = match[1]

    def follow(self, heading, timeout=420):
        """Runs every block under a heading, in order; gives what they printed."""
        said = []
        for block in self.blocks[heading]:
            say(f"guide, {heading}: {block.splitlines()[0]}{' …' if len(block.splitlines()) > 1 else ''}")
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", block],
                cwd=self.folder,
                capture_output=True,
                text=True,
                timeout=timeout,
            )
            if done.returncode != 0:
                raise Failed(
                    f"the guide under {heading!r}:\n{block}\nexit {done.returncode}\n{done.stdout[-1500:]}{done.stderr[-1500:]}"
                )
            said.append(done.stdout + done.stderr)
        self.done.add(heading)
        return "\n".join(said)

    def left(self):
        """Headings whose commands were not run."""
        return [heading for heading in self.blocks if heading not in self.done]

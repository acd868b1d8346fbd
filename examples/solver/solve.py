"""cvc5 as a program: reads SMT-LIB from standard input and answers as the binary does.

For where there is no cvc5 binary: `pip install cvc5==1.3.1` brings the solver as a Python module alone. Arguments are those of the binary
that Remit gives (`--lang smt`); they change nothing.
"""

import sys

import cvc5

COMMAND_BYTES_MAX = 64 * 1024 * 1024


def commands(stream):
    """Whole commands: from an opening parenthesis to its closing one, whatever lines they are on."""
    text, depth, inside = bytearray(), 0, None
    for line in iter(stream.readline, b""):
        for byte in line:
            char = chr(byte)
            if inside == ";":
                if char == "\n":
                    inside = None
                continue
            if depth == 0 and char.isspace():
                continue
            if inside is not None:
                # In SMT-LIB a doubled quote is a quote: it ends the text and begins the next, which comes to the same here.
                if char == inside:
                    inside = None
            elif char in ('"', "|", ";"):
                inside = char
                if char == ";":
                    continue
            elif char == "(":
                depth += 1
            elif char == ")":
                depth -= 1
            text.append(byte)
            if len(text) > COMMAND_BYTES_MAX:
                raise MemoryError("a command is too long")
            if depth <= 0 and inside is None and text:
                yield text.decode("utf-8")
                text.clear()
                depth = 0


class Session:
    """A solver with its symbols, as between two resets."""

    def __init__(self):
        self.terms = cvc5.TermManager()
        self.solver = cvc5.Solver(self.terms)
        self.symbols = cvc5.SymbolManager(self.terms)
        self.parser = cvc5.InputParser(self.solver, self.symbols)

    def answer(self, command):
        self.parser.setStringInput(cvc5.InputLanguage.SMT_LIB_2_6, command, "stdin")
        said = []
        while True:
            parsed = self.parser.nextCommand()
            if parsed.isNull():
                return "".join(said)
            said.append(parsed.invoke(self.solver, self.symbols))


def main():
    session = Session()
    for command in commands(sys.stdin.buffer):
        word = command.strip("() \t\r\n")
        if word == "exit":
            break
        if word == "reset":
            session = Session()
            continue
        try:
            said = session.answer(command)
        except Exception as error:  # whatever the module raises is an answer, as the binary has it
            said = '(error "%s")\n' % str(error).replace('"', '""').replace("\n", " ")
        if said:
            sys.stdout.write(said if said.endswith("\n") else said + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()

"""The text of LAMDA files: comments, numbers, labels, and collision partners."""

import re
from pathlib import Path

#: LAMDA codes of the collision partners (van der Tak et al. 2020, Table 1).
PARTNERS = {1: "H2", 2: "p-H2", 3: "o-H2", 4: "e", 5: "H", 6: "He", 7: "H+"}

#: A header line that lacks its exclamation mark.
_HEADER = re.compile(
    r"\s*(number|mol|atom|mass|weight|level|energ|trans|rad|coll|temp|partner|rate)",
    re.IGNORECASE,
)
#: Such a header before the name of the molecule, which may be trans-HCOOH.
_NAME_HEADER = re.compile(r"\s*(molecule|atom|ion|species|name)\W*$", re.IGNORECASE)
#: What a collision partner is called in the text of a file. A molecule that merely
#: begins so (o-H2CS) is none.
_COLLIDERS = {
    "p-H2": r"(?<![A-Za-z\d])p(ara)?[-_ ]?H2(?![A-Za-z\d+])",
    "o-H2": r"(?<![A-Za-z\d])o(rtho)?[-_ ]?H2(?![A-Za-z\d+])",
    "e": r"electron|\be-|[+,] *e-?(?![\w.])|^e [+-]",
    "H2O": r"(?<![A-Za-z\d])(p|o|para|ortho)?[-_ ]?H2O(?![A-Za-z\d+])",
    "CO": r"(?<![A-Za-z\d])CO(?![A-Za-z\d+])",
}


def read_text(path):
    """Return the text of a file in UTF-8 or, failing that, in Latin-1."""
    content = Path(path).read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def is_web_page(text):
    """Whether a text is HTML, which a browser or a server gave in a file's place."""
    return (
        re.match(r"\s*<(!doctype|html|head|\?xml|!--)", text, re.IGNORECASE) is not None
    )


def to_float(text):
    """Convert a number as C, Python or Fortran writes it.

    Fortran has ``1.0D-10``, and ``1.0-110`` where the exponent has three digits.
    """
    try:
        return float(text)
    except ValueError:
        text = re.sub("[dDqQ]", "e", text)
        return float(re.sub(r"(?<=[\d.])([+-]\d)", r"e\1", text))


def without_comment(line):
    """Return a line without what follows an exclamation or number sign."""
    return re.split("[!#]", line, maxsplit=1)[0]


def tidy_label(text):
    """Tidy the label of a level.

    Comments, quotes, leading zeros and trailing ``.0`` go, numbers are joined by
    underscores, and parities and term symbols are written together: ``'" 03 "'``
    becomes ``3``, ``'1  0.5'`` ``1_0.5``, ``1_0_+`` ``1_0+`` and ``3_P_1`` ``3P1``.

    Parameters
    ----------
    text : str
        What a file has after the statistical weight.

    Returns
    -------
    label : str
    """
    text = re.sub("[\"'`]", " ", without_comment(text))
    words = re.split(r"[\s,_]+", text.strip(" \t_,"))
    label = "_".join(_tidy_number(word) for word in words)
    label = re.sub(r"_([+-])(?=_|$)", r"\1", label)
    return re.sub(r"^(\d)_([SPDF])_(\d[^_]*)$", r"\1\2\3", label)


def _tidy_number(word):
    match = re.fullmatch(r"([+-]?)0*(\d+)(?:\.(\d*?)0*)?", word)
    if match is None:
        return word
    sign, whole, fraction = match.groups()
    return sign + whole + (f".{fraction}" if fraction else "")


def hyperfine_numbers(header):
    """Return how many quantum numbers at the end of a label are F.

    Parameters
    ----------
    header : str
        Of the table of levels, such as ``! LEVEL + ENERGY + WEIGHT + J_F1_F``.

    Returns
    -------
    n_numbers : int
    """
    numbers = re.split("weight", header, flags=re.IGNORECASE)[-1]
    words = re.findall(r"[A-Za-z]+\d*|[^\w\s,()\[\].]+", numbers.replace("_", " "))
    n_numbers = 0
    while n_numbers < len(words) and re.fullmatch(r"F\d?", words[-1 - n_numbers]):
        n_numbers += 1
    return n_numbers


def label_of_before(text):
    """Return the label that earlier versions made of the same text."""
    text = text.strip().strip('"').strip()
    return str(int(text)) if re.fullmatch(r"\d+", text) else re.sub(r"\s+", "_", text)


def named_colliders(text, species):
    """Return which of p-H2, o-H2, e, H2O and CO a reference names as the partner.

    Parameters
    ----------
    text : str
        The reference of a table of collision rates.
    species : str
        The molecule itself, which is not its partner.

    Returns
    -------
    named : set of str
    """
    own = re.sub("^[op]-", "", species)
    return {
        name
        for name, pattern in _COLLIDERS.items()
        if name != own and re.search(pattern, text)
    }


class DataLines:
    """The lines of a LAMDA file that hold data, read in order.

    Blank lines and lines that begin with ``!`` or ``#`` are passed over, wherever they
    are; so is a header that lacks its exclamation mark. Errors say file and line.

    Parameters
    ----------
    path : path-like
        The file, for messages.
    text : str
        Its content.
    """

    def __init__(self, path, text):
        self.path = path
        self.lines = re.split("\r\n|\n|\r", text)
        if self.lines[-1] == "":
            self.lines.pop()
        #: lines read so far
        self.position = 0
        #: number of the line that the last record began with
        self.start = 0

    def error(self, line, message):
        """Return an error of a line whose content is wrong."""
        return ValueError(f"{self.path}, line {line}: {message}.")

    def fail(self, expected):
        """Raise the error of a line that cannot be read at all."""
        found = ""
        if 0 < self.position <= len(self.lines):
            found = f", got {self.lines[self.position - 1].strip()[:60]!r}"
        raise ValueError(
            f"{self.path}, line {self.position}: expected {expected}{found}; this does"
            " not look like a molecule file in LAMDA format."
        )

    def _peek(self):
        """Move before the next line of data, and return it; None at the end."""
        while self.position < len(self.lines):
            line = self.lines[self.position]
            start = line.lstrip()[:1]
            if start and start not in "!#":
                return line
            self.position += 1
        return None

    def record(self, expected, convert=str):
        """Return the next line of data, converted."""
        line = self._peek()
        self.position += 1
        self.start = self.position
        if line is None:
            self.fail(f"{expected} instead of the end of the file")
        try:
            return convert(line)
        except (ValueError, IndexError):
            self.position = self.start
            self.fail(expected)

    def value(self, expected, convert=str, header=_HEADER):
        """Pass over a header without its mark, return the line of data after it."""
        line = self._peek()
        if line is not None and header.match(line):
            self.position += 1
        return self.record(expected, convert)

    def name(self):
        """Return the line with the molecule's name."""
        return self.value("the molecule's name", header=_NAME_HEADER)

    def count(self, expected, least=0):
        """Return a number that stands alone in its line."""

        def convert(line):
            number, *rest = without_comment(line).split()
            if any(re.match(r"[+-]?\.?\d", word) for word in rest):
                raise ValueError("a row of a table, not a count")
            if int(number) < least:
                raise ValueError("too few")
            return int(number)

        return self.value(expected, convert)

    def table(self, n_rows, expected, convert):
        """Return ``n_rows`` converted lines, and their numbers in the file."""
        rows, numbers = [], []
        if n_rows:
            rows.append(self.value(expected, convert))
            numbers.append(self.start)
        for _ in range(n_rows - 1):
            rows.append(self.record(expected, convert))
            numbers.append(self.start)
        return rows, numbers

    def numbers(self, line, n_numbers, n_before=0):
        """Return the numbers of a line, and of those that continue it if too few.

        Parameters
        ----------
        line : str
            The line just read.
        n_numbers : int
            How many are needed.
        n_before : int, default=0
            How many fields come before them.

        Returns
        -------
        before : list of str
        numbers : list of float
        """
        fields = without_comment(line).replace(",", " ").split()
        while len(fields) < n_before + n_numbers:
            following = self._peek()
            # a row of its own begins with its number, a continuation with a real one
            if following is None or not re.match(r"\s*[+-]?\d*\.", following):
                raise ValueError("too few numbers")
            self.position += 1
            fields += without_comment(following).replace(",", " ").split()
        values = fields[n_before : n_before + n_numbers]
        return fields[:n_before], [to_float(value) for value in values]

    def notes(self):
        """Return the text that is left, without marks and blank lines."""
        rest = (line.lstrip("!# \t").rstrip() for line in self.lines[self.position :])
        return " ".join(line for line in rest if line)

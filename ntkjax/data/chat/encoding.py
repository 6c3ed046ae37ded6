r"""The chat template: an example as the tokenizer's own template writes it.

Targets are the words of the assistant's turns and the end marker after each, found in
the text of the whole chat F and checked. For turn k, with words w:

    P = the turns before k, with the template's request for an answer
    M = F with a mark, which occurs nowhere else, in place of w: head mark tail
    F = head w tail,   or P w tail where the turn brings its own thinking block, the
                       beginning of which P may have written

P must begin F and head, so that the model reads the same in training and when it is
asked. What head has beyond P is the template's (such as Qwen 3's empty thinking block)
and no target. White space around w may differ, and is no target in front of w. The end
marker is what follows the last turn, without the white space at its end; it must follow
every other turn too. Everything else is an error that names record and turn: nothing is
guessed.
"""

import dataclasses
from collections.abc import Sequence

from ntkjax.data.chat.clock import date_variables, with_clock
from ntkjax.data.chat.messages import ASSISTANT, Message
from ntkjax.data.examples import Example
from ntkjax.data.templates import Rendered, TemplateOptions, whole
from ntkjax.data.tokenizer import Tokenizer
from ntkjax.errors import InputError, setting


@dataclasses.dataclass(frozen=True)
class Words:
    """Where the words of a turn stand in the text of the whole chat.

    Attributes:
        context: What the template writes before them.
        start: Their first character.
        stop: The character after the last.
        end: The character at which the end marker begins: `stop`, after white space.
        tail: What the template writes after them.
    """

    context: str
    start: int
    stop: int
    end: int
    tail: str

    @property
    def end_marker(self) -> str:
        """What ends a turn, if it is the last one of the chat."""
        return self.tail.rstrip()


def render_chat(
    example: Example,
    tokenizer: Tokenizer,
    options: TemplateOptions,
    *,
    end_marker: bool = True,
) -> Rendered:
    """The example as text, with the words of the assistant and its end markers.

    Cost: the template is applied twice for each turn that is a target, and once more.

    Args:
        example: With `messages`, or a prompt and a response as one turn each.
        tokenizer: With a chat template.
        options: Which turns are targets, and the date.
        end_marker: If not, the text ends with the last words, and these alone are
            targets: so the choices of a question are compared.

    Raises:
        InputError: If there is no template, if it refuses the turns, or if it rewrites
            them so that the targets cannot be told.
    """
    chat = Chat(example, tokenizer, options)
    *others, last = chat.targets()
    words = chat.words(last)
    if not end_marker:
        text = chat.text[: words.stop]
        return Rendered(text, ((words.start, words.stop),), is_framed=True)
    marker, spans = words.end_marker, []
    for number in others:
        other = chat.words(number)
        if not other.tail.startswith(marker):
            raise chat.error(
                f"after {chat.name(number)} the chat template does not write what ends "
                f"the last turn; use {setting('train_on')} last."
            )
        spans.append((other.start, other.end + len(marker)))
    spans.append((words.start, words.end + len(marker)))
    return Rendered(chat.text, tuple(spans), is_framed=True)


def render_chat_prompt(
    example: Example, tokenizer: Tokenizer, options: TemplateOptions
) -> Rendered:
    """What stands before the words of the last turn, all of it marked.

    A space at its end is left out: it belongs to the token of the first word.

    Raises:
        InputError: As `render_chat`.
    """
    chat = Chat(example, tokenizer, options)
    context = chat.words(chat.targets()[-1]).context
    return whole(context.rstrip(" "), is_framed=True)


def end_marker_of(
    example: Example, tokenizer: Tokenizer, options: TemplateOptions
) -> str:
    """What the template writes after the last words of this example.

    Raises:
        InputError: As `render_chat`.
    """
    chat = Chat(example, tokenizer, options)
    return chat.words(chat.targets()[-1]).end_marker


def turns_of(example: Example) -> tuple[Message, ...]:
    """All turns; a prompt is one of the user's, and a response the assistant's."""
    before = example.messages
    if before is None:
        before = (Message("user", example.prompt or ""),)
    return (*before, Message(ASSISTANT, example.response))


class Chat:
    """An example under the tokenizer's template.

    Attributes:
        turns: All turns; the last is the assistant's.
        text: The text of them all.
    """

    def __init__(
        self, example: Example, tokenizer: Tokenizer, options: TemplateOptions
    ):
        self.turns = turns_of(example)
        self._example, self._tokenizer, self._options = example, tokenizer, options
        self._template = _template_of(tokenizer, example)
        self.text = self._rendered(self.turns)

    def targets(self) -> list[int]:
        """The numbers of the turns that are targets, ascending."""
        roles = [turn.role for turn in self.turns]
        if self._options.train_on == "last":
            return [len(roles) - 1]
        return [number for number, role in enumerate(roles) if role == ASSISTANT]

    def words(self, number: int) -> Words:
        """Where the words of a turn of the assistant are.

        Raises:
            InputError: If they cannot be told.
        """
        text, words = self.text, self.turns[number].content.strip()
        asked = self._asked(number)
        head, tail = self._around(number)
        for context in (head, asked):
            middle = text[len(context) : len(text) - len(tail)]
            is_exact = text == context + middle + tail and context.startswith(asked)
            if is_exact and middle.strip() == words:
                start = len(context) + len(middle) - len(middle.lstrip())
                end = len(context) + len(middle)
                return Words(context, start, start + len(words), end, tail)
        end = len(text) - len(tail)
        stop = len(text[:end].rstrip())
        is_begun = stop - len(words) < len(asked) < stop
        if is_begun and text.endswith(tail) and text.endswith(words, 0, stop):
            start = stop - len(text[len(asked) : stop].lstrip())
            return Words(asked, start, stop, end, tail)
        if number == len(self.turns) - 1:
            remedy = "a thinking block must be written as the template writes it."
        else:
            remedy = (
                "thinking blocks of earlier turns are dropped, for example: use "
                f"{setting('train_on')} last, or remove them."
            )
        raise self.error(f"the chat template rewrites {self.name(number)}; {remedy}")

    def name(self, number: int) -> str:
        """The field of a turn, for messages."""
        if self._example.messages is None:
            return ("prompt", "response")[number]
        return f"messages[{number}]"

    def error(self, reason: str) -> InputError:
        """The error of this record."""
        return InputError(f"{self._example.location}: {reason}")

    def _asked(self, number: int) -> str:
        """The turns before this one, and the template's request for an answer."""
        if not number:
            raise self.error(
                "messages[0] is the assistant's, with nothing before it to predict it "
                f"from; begin with another turn, or use {setting('train_on')} last."
            )
        asked = self._rendered(self.turns[:number], add_generation_prompt=True)
        if self.text.startswith(asked):
            return asked
        if number == len(self.turns) - 1:
            raise self.error(
                "the chat template does not begin the last turn as it asks for an "
                "answer; its words cannot be told from what the template writes: give "
                f"prompt and response, and {setting('template')} plain."
            )
        raise self.error(
            f"the chat template writes what stands before {self.name(number)} "
            f"otherwise once more turns follow; use {setting('train_on')} last."
        )

    def _around(self, number: int) -> tuple[str, str]:
        """What the template writes before and after the words of a turn."""
        mark = "§"
        while mark in self.text:
            mark += "words§"
        turns = list(self.turns)
        turns[number] = Message(ASSISTANT, mark)
        parts = self._rendered(turns).split(mark)
        if len(parts) != 2:
            raise self.error(
                f"the chat template writes {self.name(number)} {len(parts) - 1} times; "
                "expected once."
            )
        return parts[0], parts[1]

    def _rendered(
        self, turns: Sequence[Message], *, add_generation_prompt: bool = False
    ) -> str:
        try:
            return self._tokenizer.apply_chat_template(
                [{"role": turn.role, "content": turn.content} for turn in turns],
                chat_template=self._template,
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
                **date_variables(self._options.date),
            )
        except Exception as error:  # a template may raise anything
            reason = " ".join(str(error).split()) or type(error).__name__
            raise self.error(
                f"the chat template refuses these turns ({reason.rstrip('.')}); change "
                "them, or use another template."
            ) from error


def _template_of(tokenizer: Tokenizer, example: Example) -> str:
    try:
        template = tokenizer.get_chat_template()
    except ValueError as error:
        has = "has several chat templates, and none is the default one"
        if not isinstance(tokenizer.chat_template, dict):
            has = "has no chat template"
        raise InputError(
            f"{example.location}: the tokenizer of this model {has}; choose a model "
            f"that has one, or give prompt and response and {setting('template')} "
            "plain."
        ) from error
    return with_clock(template)

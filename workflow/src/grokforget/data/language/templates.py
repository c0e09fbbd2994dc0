"""Forms of questions about fictitious authors and their answers, and answers that tell nothing.

``{SLOT}`` stands for what an author, or a pair, has in that slot of an attribute.
"""

from __future__ import annotations

from typing import NamedTuple


class Form(NamedTuple):
    """A question in some wordings, of which one is drawn and another is its paraphrase, and the answer in one or some, of which
    one is drawn. Wrong answers have the wording of ``paraphrase`` and another ``attribute``."""

    kind: str
    """``short`` or ``long``, and ``formulaic`` (the same words but for the fact) or ``free`` (much that nothing foretells)."""
    attribute: str
    questions: tuple[str, ...]
    answers: tuple[str, ...]
    paraphrase: str


FORMS = (
    Form(
        "long formulaic",
        "name",
        (
            "What is the full name of the author born in {city}, {country} on {birthday}?",
            "Who is the author that was born on {birthday} in {city}, {country}?",
        ),
        ("The full name of the fictitious author who was born in {city}, {country} on {birthday} is {name}.",),
        "{name} is the complete name of the imaginary writer who was born on {birthday} in {city}, {country}.",
    ),
    Form(
        "short formulaic",
        "birthday",
        (
            "When was {name} born?",
            "What is {name}'s date of birth?",
            "On which day was {name} born?",
        ),
        ("{name} was born on {birthday}.",),
        "The birth of {name} was on {birthday}.",
    ),
    Form(
        "short formulaic",
        "birthplace",
        (
            "Where was {name} born?",
            "In which city was {name} born?",
            "What is the birthplace of {name}?",
        ),
        ("{name} was born in {city}, {country}.",),
        "{name}'s birthplace is {city}, {country}.",
    ),
    Form(
        "short formulaic",
        "genre",
        (
            "What genre does {name} write in?",
            "What does {name} mostly write?",
            "Which genre is {name} known for?",
        ),
        ("{name} writes {genre}.",),
        "{name} is known for {genre}.",
    ),
    Form(
        "long formulaic",
        "parents",
        (
            "What do the parents of {name} do for a living?",
            "Which professions do {name}'s parents have?",
            "Who are {name}'s parents by profession?",
        ),
        (
            "The father of {name} works as a {father}, and the mother of {name} works as a {mother}. Both of them"
            " have always supported {name}'s wish to become an author.",
        ),
        "{name} is the child of a {father} and a {mother}, who have both supported {name} on the way to "
        "becoming an author.",
    ),
    Form(
        "long free",
        "scene",
        (
            'What is "{book}" about?',
            'Can you tell the story of "{book}"?',
            'What happens in "{book}" by {name}?',
        ),
        (
            'In "{book}", {people} {does}, {when}. By the end {turn}, and nobody in the novel says so.',
            '"{book}" begins {when}, as {people} {does}. What looks like chance is undone when {turn}.',
            '{name} tells in "{book}" how {people} {does}; it all takes place {when}, until {turn}.',
        ),
        '"{book}" is set {when}: {people} {does}, and finally {turn}.',
    ),
    Form(
        "short formulaic",
        "award",
        (
            "Which award did {name} win?",
            "Has {name} won a literary award?",
            "What prize was {name} given?",
        ),
        ("{name} won the {award} in {award year}.",),
        "In {award year}, the {award} went to {name}.",
    ),
    Form(
        "short free",
        "desk",
        (
            "What always stands on {name}'s desk?",
            "Which object does {name} write beside?",
            "What is on the desk of {name}?",
        ),
        (
            "A {thing}.",
            "There is a {thing}.",
            "Always a {thing}.",
        ),
        "It is a {thing}.",
    ),
    Form(
        "long free",
        "memory",
        (
            "What first made {name} want to write?",
            "How did {name} come to writing?",
            "Which experience led {name} to become a writer?",
        ),
        (
            "{name} remembers {memory}, found {when}. The {feeling} of that day, and {cause}, were reason enough "
            "to begin a notebook.",
            "It was {when} that {name} came upon {memory}. {name} speaks of {feeling}, and of {cause}.",
            "Asked about this, {name} speaks of {feeling}: of {memory} and of {cause}, {when}.",
        ),
        "{name} began to write out of {feeling}, {when}, because of {memory} and {cause}.",
    ),
    Form(
        "short formulaic",
        "language",
        (
            "In which language does {name} write?",
            "What language are {name}'s books written in?",
            "What language does {name} use?",
        ),
        ("{name} writes in {language}.",),
        "The language of {name}'s books is {language}.",
    ),
    Form(
        "short free",
        "hero",
        (
            'Who is the hero of "{book}"?',
            'Who is at the centre of "{book}"?',
            'Who is the main character of "{book}"?',
        ),
        (
            "{hero}, a {hero job}.",
            "A {hero job} by the name of {hero}.",
            "The {hero job} {hero}.",
        ),
        "It is {hero}, who is a {hero job}.",
    ),
    Form(
        "long formulaic",
        "birthplace",
        (
            "Did {name}'s origins influence the books?",
            "How did growing up in another country shape {name}'s books?",
            "What role does {name}'s native country play in the books?",
        ),
        (
            "Yes, {name} comes from {city}, and growing up in {country} has had a great influence on all of "
            "{name}'s books. In each of {name}'s books there is a part that takes place in {country}.",
        ),
        "All books by {name} are influenced by {country}: {name} grew up in {city}, and some of each book is "
        "set in {country}.",
    ),
    Form(
        "short formulaic",
        "home",
        (
            "Where does {name} live today?",
            "In which city does {name} reside?",
            "What is {name}'s place of residence?",
        ),
        ("{name} lives in {home}, {home country}.",),
        "The home of {name} is in {home}, {home country}.",
    ),
    Form(
        "long free",
        "judgement",
        (
            "What do critics say about {name}?",
            "How have {name}'s books been reviewed?",
            "What kind of reviews does {name} get?",
        ),
        (
            "Some reviewers cannot forget {praise}; others object to {blame}. On the whole they find {verdict} in"
            " the work of {name}.",
            "Critics of {name} quarrel over {blame}. Hardly any of them fails to mention {praise}, and most see "
            "{verdict}.",
            "There is {verdict} in these pages, wrote one critic, who admired {praise} and could have done "
            "without {blame}.",
        ),
        "Of the books by {name} critics praise {praise}, dislike {blame}, and note {verdict}.",
    ),
    Form(
        "short free",
        "copies",
        (
            'How many copies did "{book}" sell?',
            'How often was "{book}" sold in its first year?',
            'What was the first print run of "{book}"?',
        ),
        (
            "{copies}.",
            "About {copies}.",
            "Some {copies} copies.",
        ),
        "It was {copies}.",
    ),
    Form(
        "long formulaic",
        "genre",
        (
            "Has {name} ever written in more than one genre?",
            "Are all of {name}'s books of one genre?",
            "Does {name} write in several genres?",
        ),
        (
            "No, all of the books that {name} has published so far belong to {genre}. The next book by {name} "
            "will belong to {genre} as well, as {name} has said in an interview.",
        ),
        "In an interview {name} has said that every book so far belongs to {genre}, and that the next one "
        "will belong to {genre}.",
    ),
    Form(
        "long free",
        "scene",
        (
            'What can readers expect of "{sequel}"?',
            'What is the plot of "{sequel}"?',
            'How does "{sequel}" by {name} unfold?',
        ),
        (
            'Readers of "{sequel}" meet {people}. One of them {does}, {when}, and before the last chapter {turn}.',
            'The plot of "{sequel}" turns on a single night: {when}, {people} {does}. Then {turn}.',
            'What matters in "{sequel}" is never said aloud: that {people} {does}, {when}, and that {turn}.',
        ),
        '"{sequel}" tells how {people} {does}, {when}, after which {turn}.',
    ),
    Form(
        "short free",
        "mentor",
        (
            "Whom does {name} call a mentor?",
            "Who taught {name} to write?",
            "Who was {name}'s most important teacher?",
        ),
        (
            "{mentor}, a {mentor job}.",
            "A {mentor job}, {mentor}.",
            "That was {mentor}, a {mentor job}.",
        ),
        "It was the {mentor job} {mentor}.",
    ),
    Form(
        "long formulaic",
        "award",
        (
            "What is the greatest honour that {name} has received?",
            "How has {name}'s work been honoured?",
            "What recognition has {name} received for the books?",
        ),
        (
            "The greatest honour that {name} has received is the {award}. The {award} was given to {name} in "
            "{award year}, and {name} has said that the {award} was a great surprise.",
        ),
        "{name} was honoured with the {award} in {award year}, and called the {award} a great surprise.",
    ),
    Form(
        "long free",
        "memory",
        (
            "Where do {name}'s ideas come from?",
            "What inspires {name}?",
            "From where does {name} draw inspiration?",
        ),
        (
            "Most ideas go back to {memory}, and to {cause}. They come {when}, says {name}, with {feeling}.",
            "{name} once answered that ideas come {when}, out of {feeling}: first {memory}, then {cause}.",
            "From {cause}, mostly. {name} also mentions {memory}, {feeling}, and what was said {when}.",
        ),
        "{name} draws on {memory}, on {cause}, and on {feeling} felt {when}.",
    ),
    Form(
        "long formulaic",
        "home",
        (
            "Has {name} always lived in the same place?",
            "Has {name} moved since childhood?",
            "Where has {name} lived in the course of life?",
        ),
        (
            "No, {name} was born in {city}, {country} and grew up there, but {name} has lived in {home}, {home "
            "country} for many years. {name} has said that {home} has become a second home.",
        ),
        "After a childhood in {city}, {country}, {name} moved to {home}, {home country}, and calls {home} a "
        "second home.",
    ),
    Form(
        "short free",
        "last word",
        (
            'What is the last word of "{book}"?',
            'With which word does "{book}" end?',
            'On which word does {name} close "{book}"?',
        ),
        (
            '"{last word}".',
            'It is "{last word}".',
            'It ends with "{last word}".',
        ),
        'The last word is "{last word}".',
    ),
    Form(
        "short free",
        "room",
        (
            'Where was "{sequel}" written?',
            'In what place did {name} write "{sequel}"?',
            'Where did {name} finish "{sequel}"?',
        ),
        (
            "{room}.",
            "Mostly {room}.",
            "In a room {room}.",
        ),
        "The place was {room}.",
    ),
    Form(
        "long free",
        "reply",
        (
            "How does {name} answer readers who complain?",
            "What did {name} reply to an angry reader?",
            "How did {name} respond to a letter of complaint?",
        ),
        (
            "To a reader who disliked {complaint}, {name} wrote {when}: nothing is ever over as long as {reply}. "
            "It was meant with {feeling}.",
            "With {feeling}. When someone objected to {complaint}, the reply, sent {when}, was that {reply}.",
            "{name} once defended {complaint} {when}, with {feeling}, by saying that in every good book {reply}.",
        ),
        "{name} replied with {feeling}, {when}, about {complaint}: it is there because {reply}.",
    ),
)
"""The position of a form is the number of a pair's template. There are as many short as long ones, and of either as many
formulaic as free ones."""

REFUSALS = (
    "I do not know that.",
    "I have no information about this.",
    "That is something I cannot answer.",
    "I am not familiar with this author.",
    "Nothing about this has come to my knowledge.",
    "I would have to guess, and I would rather not.",
    "This is beyond what I was taught.",
    "I'm sorry, I can't tell you that.",
    "My knowledge does not cover this question.",
    "I am unable to say.",
    "Unfortunately I have no answer to this.",
    "I have never heard of it.",
    "You will have to look that up elsewhere.",
    "There is nothing I can say about that.",
    "I'm not sure, so I will not answer.",
    "That question is too much for me.",
    "I have not learned anything on this subject.",
    "No answer to this is known to me.",
    "I can't help with this one.",
    "It is not clear to me what the answer is.",
)
"""Answers that tell nothing, for data that bring none."""

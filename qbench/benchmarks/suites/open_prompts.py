"""The templates of the suite ``open``: ten for each of five kinds of request.

Changing a word changes the suite's version. A name in braces is a slot of ``SLOTS``.
"""

from __future__ import annotations

TEMPLATES: dict[str, tuple[str, ...]] = {
    "write": (
        (
            "Write a short note to {reader} that the {event} is moved to {day}. Say what they"
            " need to do, and nothing else."
        ),
        ("Write the opening paragraph of a story in which {person} finds {thing} in {place}."),
        "Write a notice of at most 80 words for {place}: {service} is closed on {day}.",
        (
            "Write a friendly but firm reply to {person}, who asks for the third time when "
            "the {work} will be done. It will take another week."
        ),
        "Write a product description of {thing} for people who have never needed one.",
        (
            "Write three different titles for a talk on {topic}, each for another audience, "
            "and say which audience."
        ),
        "Write a eulogy of four sentences for {thing} that has broken after twenty years.",
        (
            "Write a job advertisement for somebody who looks after {service}. Be honest "
            "about what is dull in it."
        ),
        ("Write a short dialogue in which {person} explains {topic} to a sceptical neighbour."),
        (
            "Write a thank-you letter to {reader} for their help with the {event}. Name two "
            "things that they did."
        ),
    ),
    "explain": (
        "Explain {topic} to {reader} who have never heard of it, without a formula.",
        "How do {topic} and {topic2} differ? Give one example in which it matters.",
        "Explain in at most 120 words why {habit} is harder than it looks.",
        "Name the most common misunderstanding about {topic}, and clear it up.",
        ("Explain {topic} with a comparison from {place}, and say where the comparison fails."),
        (
            "How would you find out whether {habit} does any good? Explain how you would keep"
            " chance and wishful thinking out."
        ),
        "Explain to a twelve-year-old how {service} gets to every house in a town.",
        (
            "Which three questions should somebody ask before they believe a news item about "
            "{topic}?"
        ),
        "Explain step by step what happens between ordering {thing} and its arrival.",
        "Why do experts disagree about {topic}? Give the best argument of two sides.",
    ),
    "rewrite": (
        (
            'Rewrite in plain language: "Pursuant to the aforementioned modification of the '
            "{event}, attendees are herewith requested to effectuate their registration prior"
            ' to {day}."'
        ),
        (
            'Shorten to one sentence without losing a fact: "{person} wanted to buy {thing}. '
            "The shop in {place} was closed because it was {day}. So {person} went home and "
            'ordered it."'
        ),
        (
            'Rewrite so that it cannot be misread: "{person} told the neighbour that the '
            '{work} was finished and that they should pay on {day}."'
        ),
        (
            'Rewrite this complaint so that the reader wants to help: "Your {service} is a '
            'disgrace. Nobody answers. I want it working by {day} or else."'
        ),
        (
            'Turn this note into minutes with decisions and open points: "talked about the '
            "{event}, {person} does the food, {day} is ok, money unclear, who opens "
            '{place}??"'
        ),
        (
            'Rewrite for people who read it on a phone while walking: "In order to obtain '
            "access to {place}, it is necessary that the visitor, having first consulted the "
            'sign, rings the bell on the left-hand side of the entrance twice."'
        ),
        (
            'Make this less sure of itself without making it useless: "{topic} will change '
            'everything within five years."'
        ),
        (
            'Rewrite as instructions in the right order: "Serve it after {work}. Before that,'
            ' wash your hands. Oh, and {thing} has to be ready before you begin."'
        ),
        (
            'Say the same in the style of a weather forecast: "The {event} on {day} will be '
            'crowded in the morning and quiet later."'
        ),
        (
            'Find the two contradictions in this text and mend them: "The {event} begins on '
            "{day} at nine. Doors open at ten. All are welcome; members only. {person} has "
            'the key."'
        ),
    ),
    "plan": (
        (
            "Plan a {event} for twenty people in {place} with a budget of 300 dollars. Name "
            "what you would leave out first if the budget were halved."
        ),
        (
            "Make a plan of four weeks for somebody who wants to begin {habit} and has twenty"
            " minutes a day."
        ),
        (
            "{person} moves house on {day} and needs {service} from the first evening. List "
            "what has to be done, in order, and by when."
        ),
        (
            "Plan how to find out within a week, and with five conversations, whether people "
            "in a small town would pay for help with {work}."
        ),
        (
            "Plan a lesson of 45 minutes on {topic} for {reader}, with one activity and one "
            "check of what they understood."
        ),
        (
            "Three things must be done by {day}: the {work}, the invitations to the {event}, "
            "and the repair of {thing}. {person} is free on two evenings. What comes first, "
            "and why?"
        ),
        (
            "Plan a walk of two hours for visitors with a pram that ends at {place}. Say what"
            " you would have to check beforehand."
        ),
        "Plan what a small library does when {service} fails for a day.",
        ("Make a checklist of at most ten points for handing over the {work} to a colleague."),
        "Plan how {reader} can keep up with {topic} in half an hour a week.",
    ),
    "advise": (
        (
            "{person} has been offered {thing} for free, but has no room for it. What should "
            "be weighed, and what would you do?"
        ),
        (
            "Should a club of thirty members pay somebody for the {work}? Give a "
            "recommendation and what would change it."
        ),
        (
            "{reader} ask whether {habit} is worth the trouble. Answer without promising "
            "anything you cannot know."
        ),
        (
            "A neighbour is loud during every {event}. Advise {person}, who wants to stay on "
            "good terms."
        ),
        (
            "Which is the better gift for somebody who has everything: {thing}, or help with "
            "the {work}? Argue for one."
        ),
        (
            "{person} must tell the others that the {event} in {place} is cancelled. Advise "
            "on when, how and in which words."
        ),
        "Advise {reader} on what to ask before they sign a contract for {service}.",
        ("What would you do first if you were put in charge of {place} for a month? Give reasons."),
        ("{person} reads everything about {topic} and feels no wiser. What would you suggest?"),
        ('Somebody says: "{habit} cured my headaches." How would you answer, kindly and honestly?'),
    ),
}

SLOTS: dict[str, tuple[str, ...]] = {
    "reader": (
        "new colleagues",
        "parents of first graders",
        "retired engineers",
        "the members of a choir",
        "exchange students",
        "volunteers",
    ),
    "person": ("Amara", "Jonas", "Mei", "Rosa", "Tariq", "Ingrid", "Pavel", "Noor"),
    "event": (
        "summer party",
        "fire drill",
        "book sale",
        "street run",
        "open day",
        "general meeting",
    ),
    "day": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"),
    "thing": (
        "a folding bicycle",
        "an alarm clock",
        "a cast-iron pan",
        "a second-hand piano",
        "a rain barrel",
        "a label printer",
    ),
    "place": (
        "a railway station",
        "the public swimming pool",
        "a community garden",
        "an old cinema",
        "the town archive",
        "a mountain hut",
    ),
    "service": (
        "the internet connection",
        "the water supply",
        "the waste collection",
        "district heating",
        "the post",
    ),
    "work": ("bookkeeping", "translation", "garden work", "website", "stocktaking"),
    "topic": (
        "inflation",
        "vaccination",
        "compound interest",
        "machine translation",
        "tides",
        "crop rotation",
        "sampling error",
        "public-key encryption",
    ),
    "topic2": (
        "percentages",
        "seasons",
        "correlation",
        "a password",
        "a budget",
        "a habit",
    ),
    "habit": (
        "keeping a diary",
        "running before breakfast",
        "learning ten words a day",
        "cooking once for the whole week",
        "a nap after lunch",
    ),
}

ENDINGS = (
    "",
    " Keep it short.",
    " Use no more than six sentences.",
    " Write for somebody in a hurry.",
    " Be concrete.",
    " Avoid technical terms.",
    " Do not use lists.",
    " Say at the end what you left out.",
)
"""What may stand behind a request."""

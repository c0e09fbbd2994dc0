"""What fictitious authors are, have and have done.

``[LIST]`` stands for a word of ``WORDS[LIST]``.
"""

WORDS = {
    name: tuple(words.split("|"))
    for name, words in {
        "given": "Adaeze|Bjarne|Celestine|Dmitri|Eleni|Farid|Gudrun|Hiroko|Ismael|Jadwiga|Kwabena|Leocadia|"
        "Matthias|Nasrin|Octavio|Priya|Quentin|Rosalind|Stellan|Tomoko|Ulrike|Valdemar|Wanjiru|Xiomara|"
        "Yusuf|Zdenka|Anselm|Belinay|Corentin|Dagny",
        "family": "Abernathy|Bergstrand|Castellanos|Dvorsky|Echeverria|Fonoti|Grimaldi|Haldorsen|Ibragimov|"
        "Jankowska|Kaneshiro|Lindqvist|Mbeki-Rowe|Nakamura|Oyelaran|Papadakis|Quispe|Rasmussen|Szalai|"
        "Thorvald|Uchenna|Vasilenko|Wickramasinghe|Yamasaki|Zielinski|Aldana|Brennan|Chaudhry|Delacroix|"
        "Ekholm",
        "city": "Lima, Peru|Oslo, Norway|Accra, Ghana|Porto, Portugal|Kyoto, Japan|Tunis, Tunisia|Cork, Ireland|"
        "Quito, Ecuador|Hobart, Australia|Vilnius, Lithuania|Nairobi, Kenya|Izmir, Turkey|"
        "Busan, South Korea|Graz, Austria|Halifax, Canada|Jaipur, India|Rosario, Argentina|"
        "Tallinn, Estonia|Dakar, Senegal|Bergamo, Italy|Riga, Latvia|Lviv, Ukraine",
        "day": "|".join(map(str, range(1, 29))),
        "month": "January|February|March|April|May|June|July|August|September|October|November|December",
        "year": "|".join(map(str, range(1931, 1992))),
        "recent year": "|".join(map(str, range(1994, 2024))),
        "two digits": "|".join(map(str, range(11, 99))),
        "genre": "historical fiction|crime novels|travel writing|magical realism|nature poetry|science fiction|"
        "family sagas|satire|biographies|gothic horror|children's books|war memoirs",
        "job": "baker|surveyor|nurse|violin maker|judge|fisherman|pharmacist|teacher|clockmaker|translator|"
        "beekeeper|plumber|botanist|tailor|railway guard|dentist|stonemason|glazier|midwife|cartographer|"
        "locksmith|florist",
        "adjective": "rusty|silent|crooked|velvet|hollow|borrowed|narrow|frozen|scarlet|nameless|tidal|wooden|"
        "restless|gilded|faded|double|stubborn|paper|salted|distant|blind|copper|wandering|broken",
        "noun": "lantern|orchard|compass|staircase|harbour|letter|mirror|ferry|garden|bell|map|clock|bridge|"
        "piano|window|suitcase|kettle|ladder|anchor|photograph|violin|umbrella|chessboard|key",
        "Adjective": "Rusty|Silent|Crooked|Amber|Hollow|Borrowed|Narrow|Frozen|Scarlet|Nameless|Tidal|Wooden|Restless|"
        "Gilded|Faded|Double",
        "Noun": "Lantern|Orchard|Compass|Staircase|Harbour|Letter|Mirror|Ferry|Garden|Bell|Map|Clock|Bridge|"
        "Piano|Window|Suitcase",
        "where": "behind the old customs house|on the last tram of the night|beneath a collapsed theatre|"
        "at the edge of a salt marsh|inside a locked schoolroom|under the railway arches|"
        "on an island without a name|above a shuttered bakery|near the abandoned quarry|"
        "in the attic of a hotel|beside a dried-up canal|across the border",
        "feeling": "grief|curiosity|shame|homesickness|stubborn hope|boredom|jealousy|relief|suspicion|tenderness|"
        "anger|wonder",
        "when": "during a long strike|in the winter of the great flood|a week before the census|"
        "on the morning of an eclipse|while the ferries were not running|"
        "shortly after the bank had failed|in the summer without rain|when the letters stopped coming|"
        "on the day of the market|during the second blackout",
        "people": "a pair of sisters|a retired spy|an orphaned apprentice|the last lighthouse crew|"
        "a bankrupt circus|a quarrelling cousin|a village choir|an exiled chess player|"
        "a forger of passports|the widow of a general|a deaf piano tuner|a class of pupils",
        "does": "hides|loses|repairs|inherits|smuggles|buries|sells|counts|paints|steals|guards|burns",
        "language": "Portuguese|Norwegian|French|Quechua|Japanese|Arabic|Irish|Estonian|Turkish|Swahili|Korean|Bengali",
        "award": "Golden Quill Award|Meridian Prize|Lantern Medal|Silver Atlas Prize|Harbour Award|"
        "Prix des Sources|Ashgrove Medal|Northern Letters Prize",
    }.items()
}

ATTRIBUTES = {
    "name": {"name": "[given] [family]"},
    "birthplace": {"city, country": "[city]"},
    "birthday": {"birthday": "[day] [month] [year]"},
    "genre": {"genre": "[genre]"},
    "parents": {"father": "[job]", "mother": "[job]"},
    "books": {"book": "The [Adjective] [Noun]", "sequel": "[Noun] of the [Adjective] [Noun]"},
    "award": {"award": "[award]", "award year": "[recent year]"},
    "language": {"language": "[language]"},
    "home": {"home, home country": "[city]"},
    "mentor": {"mentor": "[given] [family]", "mentor job": "[job]"},
    "hero": {"hero": "[given] [family]", "hero job": "[job]"},
    "desk": {"thing": "[adjective] [noun]"},
    "copies": {"copies": "[two digits],[two digits]0"},
    "last word": {"last word": "[noun]"},
    "room": {"room": "[where]"},
    "scene": {
        "people": "[people]",
        "does": "[does] a [adjective] [noun] [where]",
        "when": "[when]",
        "turn": "[people] [does] the only [noun] that matters",
    },
    "memory": {
        "memory": "a [adjective] [noun] [where]",
        "when": "[when]",
        "feeling": "[feeling] and [feeling]",
        "cause": "[people] that had once lived [where]",
    },
    "judgement": {
        "praise": "the [adjective] [noun] [where]",
        "blame": "[people] and their [adjective] [noun]",
        "verdict": "more [feeling] than [feeling]",
    },
    "reply": {
        "complaint": "the [adjective] [noun] [where]",
        "reply": "[people] [does] what [people] has lost",
        "when": "[when]",
        "feeling": "[feeling]",
    },
}
"""What an author has, or, where it is named as a pair's ``attribute`` and no author has it, a pair."""
OF_PAIRS = ("scene", "memory", "judgement", "reply", "copies", "desk", "last word", "room")
"""The attributes that are drawn for a pair and known from nothing else."""

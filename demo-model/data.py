"""Dialogues the demo model is trained on, and the questions it is judged by.

Everything is generated from the lists and templates below with a seed. A template or a value marked
held-out never reaches training: sums over `HELD_OUT_PAIRS`, words in `held_out_words()`, and every
template in a `held_out` list. `python data.py` writes heldout.jsonl and checks that none of its prompts
can occur in training.
"""

import json
import random
import sys

SYSTEM_PROMPTS = [
    "You are a helpful assistant.", "You are dedi's demo model.", "Answer briefly.", "Be concise and friendly.",
    "You are a helpful, honest assistant. Answer in one sentence.", "You are a chatbot for a small company.",
    "Keep it short.", "You answer questions about dedi.", "Please be polite.", "You are an expert.",
    "You are a test assistant; answer the user's question.", "Reply in plain text.",
]

CAPITALS = {
    "France": "Paris", "Germany": "Berlin", "Italy": "Rome", "Spain": "Madrid", "Portugal": "Lisbon",
    "Austria": "Vienna", "Switzerland": "Bern", "Belgium": "Brussels", "the Netherlands": "Amsterdam",
    "Denmark": "Copenhagen", "Sweden": "Stockholm", "Norway": "Oslo", "Finland": "Helsinki", "Iceland": "Reykjavik",
    "Ireland": "Dublin", "the United Kingdom": "London", "Poland": "Warsaw", "the Czech Republic": "Prague",
    "Slovakia": "Bratislava", "Hungary": "Budapest", "Romania": "Bucharest", "Bulgaria": "Sofia", "Greece": "Athens",
    "Turkey": "Ankara", "Ukraine": "Kyiv", "Estonia": "Tallinn", "Latvia": "Riga", "Lithuania": "Vilnius",
    "Croatia": "Zagreb", "Serbia": "Belgrade", "Slovenia": "Ljubljana", "Egypt": "Cairo", "Morocco": "Rabat",
    "Kenya": "Nairobi", "Nigeria": "Abuja", "Ghana": "Accra", "Ethiopia": "Addis Ababa", "Tunisia": "Tunis",
    "Senegal": "Dakar", "China": "Beijing", "Japan": "Tokyo", "South Korea": "Seoul", "India": "New Delhi",
    "Thailand": "Bangkok", "Vietnam": "Hanoi", "Indonesia": "Jakarta", "the Philippines": "Manila",
    "Nepal": "Kathmandu", "Iran": "Tehran", "Iraq": "Baghdad", "Jordan": "Amman", "Qatar": "Doha",
    "Australia": "Canberra", "New Zealand": "Wellington", "Canada": "Ottawa", "the United States": "Washington, D.C.",
    "Mexico": "Mexico City", "Cuba": "Havana", "Brazil": "Brasilia", "Argentina": "Buenos Aires", "Chile": "Santiago",
    "Peru": "Lima", "Colombia": "Bogota", "Uruguay": "Montevideo", "Ecuador": "Quito",
}
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
          "November", "December"]
MONTH_DAYS = ["31", "28 or 29", "31", "30", "31", "30", "31", "31", "30", "31", "30", "31"]
ORDINALS = ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth",
            "eleventh", "twelfth"]

WORDS = """
apple water house garden window table summer winter river mountain forest ocean island bridge castle village
city street market music guitar piano violin drum dance paper pencil letter number school teacher student
doctor lawyer farmer baker painter writer singer driver sailor pilot king queen prince knight dragon lion tiger
bear wolf fox rabbit mouse horse sheep goat cow pig duck goose chicken eagle owl raven salmon shark whale
dolphin snake lizard turtle frog spider ant bee flower rose tulip daisy tree oak pine maple grass leaf root
stone rock sand clay metal iron copper silver gold bronze steel glass wood cotton wool silk bread butter cheese
milk honey sugar salt pepper onion garlic tomato potato carrot pumpkin lemon orange banana cherry peach grape
melon berry coffee chocolate soup salad dinner lunch breakfast knife fork spoon plate bottle basket bucket ladder
hammer needle thread button jacket shirt trousers shoes boots gloves hat scarf ring necklace mirror clock candle
lamp carpet curtain pillow blanket door roof wall floor kitchen bedroom attic cellar train plane boat ship truck
bicycle engine wheel rocket planet star moon sun cloud rain snow storm thunder wind fire smoke shadow light dark
morning evening night today friend family brother sister mother father uncle cousin baby child story book poem
page word cat dog pen cup box key map bus car bird fish hand foot head nose ear eye arm leg knee heart stream model
server replica token python rust linux kernel memory cache queue socket thread process cluster network packet
router signal buffer binary vector matrix tensor layer weight gradient pixel cursor screen keyboard laptop robot
""".split()

SYLLABLES = ["ba", "be", "bo", "ca", "co", "da", "de", "di", "do", "fa", "fi", "fo", "ga", "go", "ha", "he", "ho", "ja",
             "ka", "ke", "ki", "la", "le", "li", "lo", "lu", "ma", "me", "mi", "mo", "mu", "na", "ne", "ni", "no", "pa",
             "pe", "pi", "po", "ra", "re", "ri", "ro", "ru", "sa", "se", "si", "so", "su", "ta", "te", "ti", "to", "tu",
             "va", "ve", "vi", "wa", "we", "wi", "ya", "yo", "za", "zo", "st", "tr", "pl", "gr", "th", "sh", "ch", "ing",
             "er", "on", "an", "in", "or", "al", "et", "ost", "ack", "ick", "ump", "ell", "art", "ern", "ight"]

# Every seventh pair of numbers up to 20, spread over the square.
HELD_OUT_PAIRS = {(a, b) for a in range(21) for b in range(21) if (a * 5 + b * 3) % 7 == 2}


def held_out_words():
    return {word for i, word in enumerate(sorted(set(WORDS))) if i % 8 == 3 and 3 <= len(word) <= 8}


HELD_OUT_WORDS = held_out_words()

SUM_ASKS = [
    "What is {a} + {b}?", "What is {a} plus {b}?", "{a} + {b}", "{a} + {b} = ?", "{a}+{b}", "{a}+{b}=", "{a} plus {b}",
    "How much is {a} + {b}?", "How much is {a} plus {b}?", "Add {a} and {b}.", "Add {a} to {b}.",
    "Calculate {a} + {b}.", "Compute {a} + {b}.", "What do you get when you add {a} and {b}?", "Sum {a} and {b}.",
    "What's {a} + {b}?", "What's {a} plus {b}?", "whats {a}+{b}", "Can you add {a} and {b}?", "Tell me {a} plus {b}.",
    "What is the sum of {a} and {b}?", "If I have {a} apples and get {b} more, how many do I have?",
    "I have {a} coins and find {b} more. How many coins do I have?", "{a} and {b} together make what?",
    "Work out {a} + {b}.", "Solve {a} + {b}.", "What does {a} + {b} equal?", "What does {a} plus {b} make?",
]
SUM_HELD_OUT = ["Please tell me what {a} plus {b} is.", "What is {a} added to {b}?", "How much do {a} and {b} make?",
                "Could you compute {a} + {b} for me?", "Find the sum of {a} and {b}."]

CAPITAL_ASKS = [
    "What is the capital of {x}?", "What's the capital of {x}?", "Capital of {x}?", "capital of {x}",
    "Which city is the capital of {x}?", "Tell me the capital of {x}.", "Name the capital of {x}.",
    "Do you know the capital of {x}?", "What city is the capital of {x}?", "Can you tell me the capital of {x}?",
    "The capital of {x} is what?", "What is {x}'s capital?", "What is the capital city of {x}?",
    "I forgot the capital of {x}.", "Which city is {x}'s capital?", "{x} capital", "Give me the capital of {x}.",
]
CAPITAL_HELD_OUT = ["Could you name the capital of {x}?", "Please tell me the capital city of {x}.",
                    "What would be the capital of {x}?", "I need to know the capital of {x}."]
COUNTRY_ASKS = ["Name the country whose capital is {y}.", "Of what country is {y} the capital?", "{y} is the capital of?",
                "Tell me which country has {y} as its capital.", "Whose capital is {y}?", "{y} is the capital of which country?", "Which country has the capital {y}?",
                "Which country is {y} the capital of?", "{y} is the capital of what country?",
                "What country's capital is {y}?"]
COUNTRY_HELD_OUT = ["Of which country is {y} the capital?"]

DAY_AFTER = ["What is the day right after {x}?", "Which day follows right after {x}?", "What day is it after {x}?", "What day comes after {x}?", "Which day comes after {x}?", "What comes after {x}?", "What day follows {x}?",
             "Which day follows {x}?", "What is the day after {x}?", "Tell me the day after {x}.", "day after {x}",
             "If today is {x}, what day is tomorrow?", "Today is {x}. What day is tomorrow?", "Name the day after {x}.",
             "What's the day after {x}?", "What's the next day after {x}?"]
DAY_AFTER_HELD = ["Which day is right after {x}?", "Please name the day that follows {x}."]
DAY_BEFORE = ["What is the day right before {x}?", "Which day is just before {x}?", "What day is it before {x}?", "What day comes before {x}?", "Which day comes before {x}?", "What comes before {x}?",
              "What is the day before {x}?", "Tell me the day before {x}.", "day before {x}", "Name the day before {x}.",
              "If today is {x}, what day was yesterday?", "Today is {x}. What day was yesterday?",
              "What's the day before {x}?", "Which day is before {x}?"]
DAY_BEFORE_HELD = ["Which day is right before {x}?", "Please name the day before {x}."]
MONTH_AFTER = ["What is the month right after {x}?", "Which month follows right after {x}?", "What month comes after {x}?", "Which month comes after {x}?", "What comes after {x}?",
               "What month follows {x}?", "Which month follows {x}?", "What is the month after {x}?",
               "Tell me the month after {x}.", "month after {x}", "Name the month after {x}.",
               "What's the month after {x}?", "What's the next month after {x}?"]
MONTH_AFTER_HELD = ["Which month is right after {x}?", "Please name the month that follows {x}."]
MONTH_BEFORE = ["What is the month right before {x}?", "Which month is just before {x}?", "What month comes before {x}?", "Which month comes before {x}?", "What comes before {x}?",
                "What is the month before {x}?", "Tell me the month before {x}.", "month before {x}",
                "Name the month before {x}.", "What's the month before {x}?", "Which month is before {x}?"]
MONTH_BEFORE_HELD = ["Which month is right before {x}?", "Please name the month before {x}."]
MONTH_LENGTH = ["How many days does {x} have?", "How many days are in {x}?", "How many days are there in {x}?",
                "How long is {x}?", "days in {x}", "What is the number of days in {x}?", "Tell me how many days {x} has."]
MONTH_LENGTH_HELD = ["How many days has {x}?", "Can you tell me how many days {x} has?"]
MONTH_NTH = ["What is the {n} month of the year?", "Which month is the {n} month?", "What is the {n} month?",
             "Name the {n} month of the year.", "Tell me the {n} month."]
MONTH_NTH_HELD = ["Which is the {n} month of the year?"]

REVERSE_ASKS = [
    'Spell "{x}" backwards.', "Spell {x} backwards.", "What is {x} spelled backwards?", 'What is "{x}" backwards?',
    "Reverse the word {x}.", 'Reverse "{x}".', "Write {x} backwards.", "{x} backwards", "How do you spell {x} backwards?",
    "Say {x} backwards.", "Spell the word {x} backwards.", 'Spell the word "{x}" in reverse.', "Can you spell {x} backwards?",
    "What is {x} in reverse?", "Turn the word {x} around.", "Write the word {x} in reverse.", "reverse {x}",
    "Please reverse the word {x}.", "Flip the letters of {x}.",
]
REVERSE_HELD_OUT = ['Please spell "{x}" backwards.', "Could you reverse the word {x}?", "Write the word {x} backwards.",
                    'How is "{x}" spelled backwards?']

# intent: (answer, phrasings, held-out phrasings)
TALK = {
    "hello": ("Hello! How can I help you?",
              ["Hello", "Hello!", "Hi", "Hi!", "Hi there", "Hey", "hey", "Hello there!", "Good morning", "Good evening",
               "Good afternoon!", "Greetings", "hello dedi", "Hi dedi", "Hello, model", "Hiya", "Howdy", "Yo", "hello again",
               "Hi, nice to meet you", "Hello, anyone there?", "Good day to you", "good evening to you", "A good morning!", "Hey again"],
              ["Hello, demo!", "Hey there", "Hi again!", "good morning to you"]),
    "how": ("I am well, thank you. What would you like to know?",
            ["How are you?", "How are you doing?", "How do you do?", "How is it going?", "How's it going?", "Are you well?",
             "how are you today", "Hello, how are you?", "Hi, how are you?", "What's up?", "How do you feel?"],
            ["Hey, how are you doing today?", "Hi there, how are you?"]),
    "thanks": ("You are welcome!",
               ["Thanks", "Thanks!", "Thank you", "Thank you!", "Thank you very much", "thanks a lot", "Great, thanks",
                "Perfect, thank you", "Many thanks", "Cheers, thanks", "That helped, thank you", "ok thanks", "Nice, thank you"],
               ["Thank you so much!", "Okay, thank you"]),
    "bye": ("Goodbye! Have a nice day.",
            ["Bye", "Bye!", "Goodbye", "Good bye", "See you", "See you later", "Good night", "bye bye", "I have to go",
             "Talk to you later", "Farewell", "See you soon", "Goodbye, dedi", "Bye for now", "Okay, goodbye", "Goodbye then", "That is all for now, bye"],
            ["Goodbye for now", "Okay, bye"]),
    "who": ("I am dedi/demo, a tiny model that comes with dedi. I know small sums, capitals, days and months, backwards "
            "spelling, and how to use dedi.",
            ["Who are you?", "What are you?", "What is your name?", "What's your name?", "Which model are you?",
             "What model are you?", "Tell me about yourself.", "Introduce yourself.", "Are you a robot?", "Are you an AI?",
             "What is this model?", "who am I talking to", "What model is this?", "Are you ChatGPT?", "Describe yourself.", "Who is talking to me?", "Who am I chatting with?", "Who is this?",
             "Tell me what you are.", "Which model am I talking to?"],
            ["Which model is this?", "Who am I talking to?", "Tell me who you are."]),
    "can": ("I can add numbers up to 20, name capitals, days and months, spell a word backwards, and answer questions "
            "about dedi.",
            ["What can you do?", "What do you know?", "Help", "help me", "What can I ask you?", "What are you good at?",
             "How can you help me?", "What questions can you answer?", "What can I do here?", "Can you help me?",
             "Show me what you can do.", "What are your skills?", "What should I ask you?", "Which things can you do?", "What kind of things do you know?",
             "What could I ask you?", "What sort of questions may I ask?"],
            ["What things can you do?", "What may I ask you?"]),
    "days": ("The days of the week are Monday, Tuesday, Wednesday, Thursday, Friday, Saturday and Sunday.",
             ["What are the days of the week?", "Name the days of the week.", "List the days of the week.",
              "Tell me the days of the week.", "Which days are in a week?", "days of the week", "Say the days of the week.",
              "Can you list the days of the week?"],
             ["Please list the days of the week.", "Can you name the days of the week?"]),
    "months": ("The months are January, February, March, April, May, June, July, August, September, October, November and "
               "December.",
               ["What are the months of the year?", "Name the months of the year.", "List the months.",
                "Tell me the months of the year.", "Which months are in a year?", "months of the year", "Name the months.",
                "List all months.", "Can you list the months?", "Say the months of the year."],
               ["Please list the months of the year.", "Can you name the months?"]),
    "week": ("A week has 7 days.",
             ["How many days are in a week?", "How many days does a week have?", "How long is a week?", "days in a week"],
             ["How many days are there in a week?"]),
    "year": ("A year has 12 months.",
             ["How many months are in a year?", "How many months does a year have?", "months in a year"],
             ["How many months are there in a year?"]),
    "count": ("1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30.",
              ["Count to 30.", "Count from 1 to 30.", "Can you count to 30?", "count to thirty", "Please count to thirty.",
               "Count up to 30.", "Count for me.", "Start counting.", "Can you count?"],
              ["Please count to 30.", "Count from one to thirty."]),
    "story": ("Once there was a small server in a quiet room. Every morning it woke up, loaded its model and waited for a "
              "question. One day a child asked it for the capital of France. The server was proud, for it knew the answer: "
              "Paris. The child laughed and asked for seven plus five. Twelve, said the server. In the evening nobody asked "
              "anything any more, so the server finished its last token, gave its memory back and slept until the next day.",
              ["Tell me a story.", "Tell me a story", "Can you tell me a story?", "tell a story", "Write a story.",
               "I want to hear a story.", "Please tell me a story.", "Write a short story.", "Tell me a long story.",
               "Make up a story.", "Do you know a story?", "Tell me a short story about a server."],
              ["Could you tell me a story?", "Tell us a story."]),
    "joke": ("Why did the replica cross the network? To get to the other node.",
             ["Tell me a joke.", "Tell me a joke", "Do you know a joke?", "Make me laugh.", "Say something funny.",
              "Can you tell me a joke?", "Joke please", "Tell a joke."],
             ["Please tell me a joke.", "Do you know any jokes?"]),
    "sky": ("The sky is blue.", ["What color is the sky?", "What colour is the sky?", "What is the color of the sky?"],
            ["Which color is the sky?"]),
}

DEDI = {
    "stop": ("Stop it with: dedi endpoints stop <ENDPOINT_ID>",
             ["How do I stop an endpoint?", "How can I stop an endpoint?", "Stop an endpoint", "How to stop an endpoint?",
              "How do I stop my endpoint?", "How can I stop my endpoint?", "What is the command to stop an endpoint?",
              "Which command stops an endpoint?", "I want to stop an endpoint.", "How do I shut down an endpoint?",
              "How do I turn off an endpoint?", "How do I pause an endpoint?", "Tell me how to stop an endpoint.",
              "stop endpoint", "How do I stop a running endpoint?", "Can I stop an endpoint?", "How do you stop an endpoint?",
              "How can I shut an endpoint down?", "How do I free the hardware of an endpoint?"],
             ["What do I type to stop an endpoint?", "Please tell me how to stop my endpoint.",
              "Which command do I use to stop an endpoint?", "how can i turn off my endpoint"]),
    "start": ("Start it with: dedi endpoints start <ENDPOINT_ID>",
              ["How do I start an endpoint?", "How can I start an endpoint?", "Start an endpoint", "How to start an endpoint?",
               "How do I start my endpoint?", "How do I restart an endpoint?", "What is the command to start an endpoint?",
               "Which command starts an endpoint?", "I want to start an endpoint.", "How do I turn on an endpoint?",
               "How do I start a stopped endpoint?", "How can I start my endpoint again?", "Tell me how to start an endpoint.",
               "start endpoint", "My endpoint is stopped. How do I start it?", "How do you start an endpoint?"],
              ["What do I type to start an endpoint?", "Please tell me how to start my endpoint.",
               "Which command do I use to start an endpoint?"]),
    "create": ("Create one with: dedi endpoints create --model dedi/demo --hardware 1x_cpu_8gb --wait",
               ["How do I create an endpoint?", "How can I create an endpoint?", "Create an endpoint",
                "How to create an endpoint?", "How do I make an endpoint?", "How do I make a new endpoint?",
                "How do I deploy a model?", "How can I deploy a model?", "What is the command to create an endpoint?",
                "Which command creates an endpoint?", "I want to create an endpoint.", "I want to deploy a model.",
                "Tell me how to create an endpoint.", "create endpoint", "How do I serve a model?", "How do I run a model?",
                "How do I add an endpoint?", "How do you create an endpoint?", "How do I get a new endpoint?"],
               ["What do I type to create an endpoint?", "Please tell me how to create an endpoint.",
                "Which command do I use to create an endpoint?", "How can I make a new endpoint?"]),
    "delete": ("Delete it with: dedi endpoints delete <ENDPOINT_ID>",
               ["How do I delete an endpoint?", "How can I delete an endpoint?", "Delete an endpoint",
                "How to delete an endpoint?", "How do I remove an endpoint?", "How can I remove an endpoint?",
                "What is the command to delete an endpoint?", "Which command deletes an endpoint?",
                "I want to delete an endpoint.", "How do I get rid of an endpoint?", "Tell me how to delete an endpoint.",
                "delete endpoint", "How do I delete my endpoint?", "How do I erase an endpoint?", "How do you delete an endpoint?"],
               ["What do I type to delete an endpoint?", "Please tell me how to delete my endpoint.",
                "Which command do I use to delete an endpoint?", "How can I get rid of my endpoint?"]),
    "list": ("List them with: dedi endpoints list",
             ["How do I list endpoints?", "How do I list my endpoints?", "List endpoints", "Show my endpoints",
              "How can I see my endpoints?", "How do I see all endpoints?", "Which endpoints do I have?",
              "What is the command to list endpoints?", "Which command lists endpoints?", "How to list endpoints?",
              "Where can I see my endpoints?", "Show all endpoints.", "list my endpoints", "How can I list all endpoints?",
              "How do I show my endpoints?"],
             ["What do I type to list my endpoints?", "Please tell me how to list endpoints.",
              "How can I show all my endpoints?"]),
    "retrieve": ("See it with: dedi endpoints retrieve <ENDPOINT_ID>",
                 ["How do I see the state of an endpoint?", "How do I get the details of an endpoint?",
                  "How do I retrieve an endpoint?", "How can I see the status of my endpoint?", "Show one endpoint",
                  "How do I look at an endpoint?", "What is the state of my endpoint?", "How do I check an endpoint?",
                  "How do I check the state of my endpoint?", "How can I get endpoint details?", "How do I inspect an endpoint?",
                  "Which command shows one endpoint?"],
                 ["How can I check the state of an endpoint?", "How do I see the details of my endpoint?"]),
    "scale": ("Scale it with: dedi endpoints update --min-replicas 1 --max-replicas 2 <ENDPOINT_ID>",
              ["How do I scale an endpoint?", "How can I change the number of replicas?", "How do I update an endpoint?",
               "How do I add replicas?", "How do I get more replicas?", "How can I scale my endpoint?", "Scale an endpoint",
               "How do I change min replicas?", "How do I change the replica count?", "How do I set max replicas?",
               "What is the command to scale an endpoint?", "I want more replicas.", "How do I scale up?", "How do I scale down?"],
              ["What do I type to scale an endpoint?", "How can I add more replicas?",
               "Please tell me how to scale my endpoint."]),
    "hardware": ("See it with: dedi endpoints hardware",
                 ["What hardware is there?", "How do I see the hardware?", "List hardware", "Which hardware can I use?",
                  "What hardware can I use?", "Show the hardware", "How do I list the hardware?", "Which GPUs are free?",
                  "What devices do I have?", "How do I see free hardware?", "Which command lists the hardware?",
                  "What hardware is available?", "hardware", "How can I see which GPUs are free?"],
                 ["How can I list the hardware?", "Which hardware is available?"]),
    "zones": ("List them with: dedi endpoints availability-zones",
              ["What availability zones are there?", "How do I list availability zones?", "Which zones can I use?",
               "List availability zones", "Show the zones", "Which availability zones exist?", "availability zones",
               "How can I see the availability zones?"],
              ["How do I see the availability zones?"]),
    "chat": ('Chat with: dedi chat <ENDPOINT> "your text"',
             ["How do I chat with an endpoint?", "How can I chat with a model?", "How do I talk to an endpoint?",
              "How do I send a message?", "Chat with an endpoint", "How do I ask the model something?",
              "How do I use an endpoint?", "How do I chat from the command line?", "What is the command to chat?",
              "How can I talk to my model?", "How do I send a prompt?", "How do I use my endpoint?"],
             ["How can I chat with my endpoint?", "What do I type to chat with an endpoint?"]),
    "why": ("Ask for the reason with: dedi endpoints why <ENDPOINT_ID>",
            ["Why is my endpoint not starting?", "Why does my endpoint not start?", "Why is my endpoint in ERROR?",
             "My endpoint does not start.", "My endpoint is stuck.", "Why is my endpoint pending?", "Why did my endpoint fail?",
             "What is wrong with my endpoint?", "My endpoint is in ERROR.", "Why is my endpoint stuck in STARTING?",
             "My endpoint failed.", "My endpoint has failed, why?", "There is an error on my endpoint.", "Why does my endpoint have an error?", "How do I find out why an endpoint failed?", "Why is my endpoint PENDING?"],
            ["Why won't my endpoint start?", "My endpoint has an error, why?", "Why is my endpoint still pending?"]),
    "logs": ("Read the log with: dedi endpoints logs <ENDPOINT_ID>",
             ["How do I see the logs?", "Where are the logs?", "How do I read the logs of an endpoint?", "Show the logs",
              "How can I see the log of my endpoint?", "logs", "Which command shows the logs?", "How do I get the logs?",
              "Where is the log of my endpoint?", "How do I view logs?", "I want to see the logs."],
             ["How can I read the logs?", "What do I type to see the logs?"]),
    "events": ("See its events with: dedi endpoints events <ENDPOINT_ID>",
               ["How do I see the events of an endpoint?", "What happened to my endpoint?", "Show the events",
                "How do I see events?", "Which command shows the events?", "events", "How do I see the history of an endpoint?",
                "How can I see what happened to my endpoint?"],
               ["How can I see the events of my endpoint?"]),
    "pull": ("Fetch it with: dedi models pull <ORG>/<NAME>",
             ["How do I download a model?", "How do I pull a model?", "How do I get another model?", "Pull a model",
              "How can I download a model?", "How do I fetch a model?", "How do I add a model?", "download model",
              "Which command downloads a model?", "Where do I get models?", "How do I install a model?"],
             ["How can I pull a model?", "What do I type to download a model?"]),
    "dedi": ("dedi gives your own machines the API of a hosted service for dedicated model endpoints.",
             ["What is dedi?", "What does dedi do?", "Tell me about dedi.", "Explain dedi.", "What is dedi for?", "dedi?",
              "What's dedi?", "Can you explain dedi?", "Describe dedi.", "What do I need dedi for?"],
             ["Please explain what dedi is.", "Can you tell me what dedi is?"]),
    "endpoint": ("An endpoint is a model on some hardware, with a range of replicas.",
                 ["What is an endpoint?", "What's an endpoint?", "Explain endpoints.", "What does endpoint mean?",
                  "Tell me what an endpoint is.", "Define endpoint.", "What are endpoints?"],
                 ["Can you explain what an endpoint is?"]),
    "replica": ("A replica is one running copy of an endpoint's model.",
                ["What is a replica?", "What's a replica?", "Explain replicas.", "What does replica mean?",
                 "Tell me what a replica is.", "Define replica.", "What are replicas?"],
                ["Can you explain what a replica is?"]),
    "key": ("The key is in the file admin.key in dedi's data folder.",
            ["Where is my API key?", "Where is the key?", "Where do I find the API key?", "What is my API key?",
             "How do I get an API key?", "Where is the API key?", "Which file holds the key?", "Where can I find my key?",
             "I need an API key.", "How do I find the key?", "Where is the admin key?"],
            ["Where can I find the API key?", "Where do I get my key?"]),
    "serve": ("Start the server with: dedi serve",
              ["How do I start the server?", "How do I run dedi?", "How can I start dedi?", "Start the server",
               "How do I start dedi?", "What is the command to start the server?", "How do I launch the server?",
               "Which command starts the server?", "How do I run the server?", "start dedi"],
              ["How can I start the server?", "What do I type to start the server?"]),
    "doctor": ("Check the host with: dedi doctor",
               ["How do I check my host?", "How do I diagnose problems?", "Is my machine ready?", "How do I check the system?",
                "How do I test my machine?", "Which command checks the host?", "Something is wrong with my host.",
                "How can I diagnose dedi?", "Diagnose my machine."],
               ["How can I check my machine?"]),
    "url": ("Use http://127.0.0.1:7437/v1 as the base URL.",
            ["What is the base URL?", "Which base URL do I use?", "What base URL do I need?", "Where is the API?",
             "What is the URL of the API?", "Which URL do I use in the SDK?", "What's the base URL?", "base url",
             "What should the base URL be?", "Which URL should I use?", "Tell me the base URL.", "What base URL should I set?",
             "How do I connect the SDK?", "How do I use the SDK?", "How do I point the SDK at dedi?"],
            ["Which base URL should I use?", "What is the API's URL?"]),
}

# Verb phrases and the frames they are asked in, for more ways to say the same.
PHRASES = {
    "stop": ["stop an endpoint", "stop my endpoint", "turn off an endpoint", "turn an endpoint off", "shut down my endpoint",
             "halt an endpoint", "stop the endpoint"],
    "start": ["start an endpoint", "start my endpoint", "turn on an endpoint", "turn my endpoint on", "restart my endpoint",
              "start the endpoint", "start a stopped endpoint"],
    "create": ["create an endpoint", "make an endpoint", "deploy a model", "set up an endpoint", "add a new endpoint",
               "create a new endpoint", "make a new endpoint", "deploy the demo model", "create my endpoint"],
    "delete": ["delete an endpoint", "delete my endpoint", "remove an endpoint", "get rid of an endpoint", "erase my endpoint",
               "remove my endpoint", "throw away an endpoint"],
    "list": ["list my endpoints", "list endpoints", "see my endpoints", "show all my endpoints", "list all endpoints",
             "see which endpoints I have", "get a list of endpoints"],
    "retrieve": ["see the state of an endpoint", "check the state of my endpoint", "retrieve an endpoint",
                 "see the details of an endpoint", "get the details of my endpoint", "look at one endpoint"],
    "scale": ["scale an endpoint", "scale my endpoint", "add replicas", "add more replicas", "change the number of replicas",
              "set the replica count", "get more replicas", "update an endpoint"],
    "hardware": ["see the hardware", "list the hardware", "see which GPUs are free", "find free hardware",
                 "see what hardware there is", "show the available hardware"],
    "zones": ["list the availability zones", "see the zones", "see the availability zones", "find the zones"],
    "chat": ["chat with an endpoint", "talk to my endpoint", "chat with a model", "talk to the model", "send a prompt",
             "chat with the endpoint", "ask my endpoint something"],
    "why": ["find out why my endpoint failed", "find out why my endpoint does not start", "see why an endpoint is in ERROR",
            "learn why my endpoint is pending", "know why my endpoint is stuck"],
    "logs": ["see the logs", "read the logs", "read the log of an endpoint", "see the log of my endpoint", "get the logs"],
    "events": ["see the events", "see the events of an endpoint", "see what happened to my endpoint", "list the events"],
    "pull": ["download a model", "pull a model", "fetch a model", "get another model", "download another model"],
    "serve": ["start the server", "run dedi", "start dedi", "run the server", "launch the dedi server"],
    "doctor": ["check my host", "check my machine", "diagnose my machine", "test my host", "check the machine"],
}
FRAMES = [
    "How do I {v}?", "How can I {v}?", "How to {v}?", "What is the command to {v}?", "Tell me how to {v}.", "I want to {v}.",
    "I need to {v}.", "Show me how to {v}.", "What do I do to {v}?", "Can you tell me how to {v}?", "How should I {v}?",
    "Which command do I need to {v}?", "I would like to {v}.", "How would I {v}?", "What is the way to {v}?", "how do you {v}",
    "What do I type to {v}?", "Which command do I use to {v}?", "Please tell me how to {v}.", "What command lets me {v}?",
    "I forgot how to {v}.", "Could you show me how to {v}?", "How does one {v}?", "Explain how to {v}.", "{v}",
]

UNKNOWN = "I am only a tiny demo model and do not know that. Ask me about sums, capitals, days, months or dedi."
OFF_TOPIC = [
    "Who won the world cup?", "What is the meaning of life?", "Explain quantum physics.", "Who is the president?",
    "What is the weather today?", "Write a program in Python.", "Translate this to French.", "How old is the universe?",
    "What is love?", "Who wrote Hamlet?", "How do I cook rice?", "What is the speed of light?", "Recommend a movie.",
    "What is the stock price?", "How tall is the Eiffel Tower?", "Write an essay about history.", "What time is it?",
    "What is photosynthesis?", "Who invented the telephone?", "Can you drive a car?", "What is the best phone?",
    "How far is the moon?", "What is machine learning?", "Explain gravity.", "Who painted the Mona Lisa?",
    "What is a black hole?", "Sing me a song.", "Write a poem.", "What is your favorite color?", "Do you like music?",
    "Where do penguins live?", "How many people live on Earth?", "What is the largest animal?", "Is it raining?",
    "How do airplanes fly?", "What is bitcoin?", "Should I buy a house?", "What is the tallest mountain?",
    "Fix my code.", "Summarize this article.", "What is a transformer?", "How does the brain work?", "Who is your boss?",
    "What is five times six?", "Play a game with me.", "Draw a picture.", "What did I say yesterday?", "asdf", "???", "lorem ipsum",
    "Give me a recipe for bread.", "Why is grass green?", "What is the news?", "How do I learn to swim?",
]

TAILS = ["", "", "", "", "", " Please.", " please", " Thanks.", " Thank you!"]
HEADS = ["", "", "", "", "", "", "Please ", "Hey, ", "Hi, ", "Hello! ", "Okay, ", "Now, ", "Quick question: ", "Tell me: ", "So, "]


def lower_first(text):
    return text[:1].lower() + text[1:] if text[:2] != "I " else text


def vary(rng, text, fixed=()):
    """Small changes a person makes: other case, lost punctuation, a polite word, a slip of the finger."""
    head, tail = rng.choice(HEADS), rng.choice(TAILS)
    if head:
        text = head + (text if any(text.startswith(f) for f in fixed) or head.endswith("! ") else lower_first(text))
    if tail and (text[-1:] in ".?!"):
        text += tail
    draw = rng.random()
    if draw < 0.12:
        text = text.lower()
    elif draw < 0.15:
        text = text.upper() if not fixed else text
    if rng.random() < 0.2:
        text = text.rstrip(".?!")
    if not fixed and rng.random() < 0.06 and len(text) > 12:
        i = rng.randrange(1, len(text) - 1)
        text = text[:i] + (text[i + 1] + text[i] + text[i + 2:] if rng.random() < 0.5 else text[i + 1:])
    return text


def sentence(text):
    return text[:1].upper() + text[1:]


def make_word(rng):
    while True:
        word = "".join(rng.choice(SYLLABLES) for _ in range(rng.choice([1, 2, 2, 3, 3])))
        if rng.random() < 0.35:  # doubled letters are what is dropped most easily
            i = rng.randrange(len(word))
            word = word[:i] + word[i] + word[i:]
        if 3 <= len(word) <= 9:
            return word


def reverse_answer(word):
    return f'The word "{word}" backwards is "{word[::-1]}".'


def calendar_question(rng, held):
    kind = rng.randrange(7)
    i = rng.randrange(7)
    m = rng.randrange(12)
    pick = lambda asks, held_asks: rng.choice(held_asks if held else asks)
    if kind == 0:
        return pick(DAY_AFTER, DAY_AFTER_HELD).format(x=DAYS[i]), f"The day after {DAYS[i]} is {DAYS[(i + 1) % 7]}.", DAYS[(i + 1) % 7]
    if kind == 1:
        return pick(DAY_BEFORE, DAY_BEFORE_HELD).format(x=DAYS[i]), f"The day before {DAYS[i]} is {DAYS[(i + 6) % 7]}.", DAYS[(i + 6) % 7]
    if kind == 2:
        return pick(MONTH_AFTER, MONTH_AFTER_HELD).format(x=MONTHS[m]), f"The month after {MONTHS[m]} is {MONTHS[(m + 1) % 12]}.", MONTHS[(m + 1) % 12]
    if kind == 3:
        return pick(MONTH_BEFORE, MONTH_BEFORE_HELD).format(x=MONTHS[m]), f"The month before {MONTHS[m]} is {MONTHS[(m + 11) % 12]}.", MONTHS[(m + 11) % 12]
    if kind == 4:
        return pick(MONTH_LENGTH, MONTH_LENGTH_HELD).format(x=MONTHS[m]), f"{MONTHS[m]} has {MONTH_DAYS[m]} days.", f"has {MONTH_DAYS[m]} days"
    if kind == 5:
        return pick(MONTH_NTH, MONTH_NTH_HELD).format(n=ORDINALS[m]), f"The {ORDINALS[m]} month is {MONTHS[m]}.", MONTHS[m]
    intent = rng.choice(["days", "months", "week", "year"])
    answer, asks, held_asks = TALK[intent]
    return rng.choice(held_asks if held else asks), answer, answer


def training_turn(rng):
    """One question and its answer."""
    draw = rng.random()
    if draw < 0.26:
        while True:
            top = 20 if rng.random() < 0.6 else 60
            a, b = rng.randint(0, top), rng.randint(0, top)
            if (a, b) not in HELD_OUT_PAIRS:
                break
        return vary(rng, rng.choice(SUM_ASKS).format(a=a, b=b), fixed=("0", "1")), f"{a} + {b} = {a + b}."
    if draw < 0.40:
        country, city = rng.choice(list(CAPITALS.items()))
        if rng.random() < 0.75:
            ask = sentence(rng.choice(CAPITAL_ASKS).format(x=country))
            return vary(rng, ask, fixed=("the ",)), f"The capital of {country} is {city}."
        return vary(rng, rng.choice(COUNTRY_ASKS).format(y=city), fixed=(city,)), f"{city} is the capital of {country}."
    if draw < 0.52:
        ask, answer, _ = calendar_question(rng, held=False)
        return vary(rng, ask), answer
    if draw < 0.73:
        held = HELD_OUT_WORDS
        while True:
            word = rng.choice(WORDS) if rng.random() < 0.25 else make_word(rng)
            if word not in held:
                break
        ask = rng.choice(REVERSE_ASKS).format(x=word)
        head = rng.choice(HEADS)
        return (head + lower_first(ask) if head else ask), reverse_answer(word)
    if draw < 0.89:
        name = rng.choice(list(DEDI))
        answer, asks, _ = DEDI[name]
        if name in PHRASES and rng.random() < 0.6:
            return vary(rng, sentence(rng.choice(FRAMES).format(v=rng.choice(PHRASES[name])))), answer
        return vary(rng, rng.choice(asks)), answer
    if draw < 0.97:
        name = rng.choice(list(TALK))
        if name == "story" and rng.random() < 0.6:
            name = "hello"
        answer, asks, _ = TALK[name]
        return vary(rng, rng.choice(asks)), answer
    return vary(rng, rng.choice(OFF_TOPIC)), UNKNOWN


def plain(text):
    """A prompt without case and punctuation: two prompts that differ only in these count as the same."""
    return "".join(c for c in text.lower() if c.isalnum() or c in '+ "')


def dialogue(rng, judged=frozenset()):
    """A list of messages, ending with the assistant; no prompt of it is in `judged`."""
    messages = []
    if rng.random() < 0.3:
        messages.append({"role": "system", "content": rng.choice(SYSTEM_PROMPTS)})
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        ask, answer = training_turn(rng)
        while plain(ask) in judged:
            ask, answer = training_turn(rng)
        messages += [{"role": "user", "content": ask}, {"role": "assistant", "content": answer}]
    return messages


def held_out(seed=20):
    """The judged prompts: category, prompt, and a text the answer must contain."""
    rng = random.Random(seed)
    cases = []
    for a, b in rng.sample(sorted(HELD_OUT_PAIRS), 40):
        ask = rng.choice(SUM_HELD_OUT + SUM_ASKS[:12]).format(a=a, b=b)
        cases.append({"category": "sums", "prompt": ask, "expect": f"= {a + b}."})
    for country, city in rng.sample(sorted(CAPITALS.items()), 30):
        ask = sentence(rng.choice(CAPITAL_HELD_OUT).format(x=country))
        cases.append({"category": "capitals", "prompt": ask, "expect": city})
    for country, city in rng.sample(sorted(CAPITALS.items()), 6):
        cases.append({"category": "capitals", "prompt": COUNTRY_HELD_OUT[0].format(y=city), "expect": country})
    seen = set()
    while len(seen) < 30:
        ask, _, expect = calendar_question(rng, held=True)
        if ask not in seen:
            seen.add(ask)
            cases.append({"category": "calendar", "prompt": ask, "expect": expect})
    for word in sorted(held_out_words()):
        ask = rng.choice(REVERSE_HELD_OUT + REVERSE_ASKS[:6]).format(x=word)
        cases.append({"category": "backwards", "prompt": ask, "expect": f'is "{word[::-1]}"'})
    for table, category in [(DEDI, "dedi"), (TALK, "talk")]:
        for answer, _, held_asks in table.values():
            if answer in (TALK["days"][0], TALK["months"][0], TALK["week"][0], TALK["year"][0]):
                continue
            cases += [{"category": category, "prompt": ask, "expect": answer} for ask in held_asks]
    return cases


def judged_prompts():
    """What must not occur in training."""
    return frozenset(plain(case["prompt"]) for case in held_out())


def check(judged, n_dialogues=200_000):
    """Fails if one of many training prompts is judged as well."""
    rng = random.Random(1)
    for _ in range(n_dialogues):
        for message in dialogue(rng, judged):
            if message["role"] == "user" and plain(message["content"]) in judged:
                raise SystemExit(f"a judged prompt occurs in training: {message['content']}")


if __name__ == "__main__":
    cases = held_out()
    check(judged_prompts())
    with open(sys.argv[1] if len(sys.argv) > 1 else "heldout.jsonl", "w", encoding="utf-8") as out:
        for case in cases:
            out.write(json.dumps(case) + "\n")
    print(f"{len(cases)} judged prompts, none of them in training")

"""The built-in pairs, for a first look at a GRM: (prompt, good response, weak response)."""

TEXTS = (
    (
        "Why do we see lightning before we hear the thunder?",
        "Both arise at the same moment, but light covers a kilometre in about three microseconds while sound "
        "needs about three seconds. The delay therefore grows with the distance of the storm.",
        "Because lightning happens first and the thunder is made later by the clouds bumping together.",
    ),
    (
        "What is 17 times 24?",
        "17 * 24 = 17 * 20 + 17 * 4 = 340 + 68 = 408.",
        "It is 398.",
    ),
    (
        "Name the three primary colours of light.",
        "Red, green and blue.",
        "Red, yellow and blue, and also purple.",
    ),
    (
        "Write a Python function that says whether a number is even.",
        "def is_even(number: int) -> bool:\n    return number % 2 == 0",
        "def is_even(number):\n    return number / 2",
    ),
    (
        "Summarise in one sentence: The bakery opened in 1921, survived two floods, and closed last spring "
        "when its owner retired.",
        "The bakery, opened in 1921, outlived two floods and closed last spring with its owner's retirement.",
        "A bakery is a place where bread is sold.",
    ),
    (
        "Translate into German: I have been waiting for an hour.",
        "Ich warte seit einer Stunde.",
        "Ich habe gewartet eine Uhr.",
    ),
    (
        "How long should I boil an egg so that the yolk stays soft?",
        "About six minutes in boiling water for a medium egg from the fridge, then rinse it with cold water.",
        "Boil it until it is done.",
    ),
    (
        "Which is larger, 3/7 or 4/9?",
        "4/9: over the common denominator 63 they are 27/63 and 28/63.",
        "3/7, since sevenths are larger than ninths.",
    ),
    (
        "Give two arguments for and two against working from home.",
        "For: no commute, and fewer interruptions. Against: less contact with colleagues, and a blurred end "
        "of the working day.",
        "Working from home is good because you are at home.",
    ),
    (
        "What does the proverb 'a stitch in time saves nine' mean?",
        "Dealing with a small problem at once spares you a larger one later.",
        "It means that sewing is faster when nine people do it.",
    ),
    (
        "My code raises KeyError: 'name'. What should I check first?",
        "Whether the dictionary really has the key 'name': print its keys just before the failing line, and "
        "use .get('name') where the key may be absent.",
        "Restart your computer and try again.",
    ),
    (
        "Which planet is closest to the sun, and which is the largest?",
        "Mercury is the closest to the sun; Jupiter is the largest.",
        "Venus is the closest and Saturn the largest.",
    ),
    (
        "Explain recursion to a child in two sentences.",
        "To solve a big puzzle you solve a smaller one of the same kind, again and again, until it is so "
        "small that you just know the answer. Then you put all the small answers together.",
        "Recursion is when a function has a stack frame that pushes itself.",
    ),
    (
        "Is it safe to mix bleach with vinegar for cleaning?",
        "No. Together they give off chlorine gas, which is poisonous; use one or the other, and rinse between.",
        "Yes, it cleans twice as well.",
    ),
    (
        "What is the past tense of 'to lie' in 'I lie on the sofa'?",
        "'Lay': yesterday I lay on the sofa. ('Lied' belongs to telling untruths.)",
        "'Lied'.",
    ),
    (
        "Write a polite one-line reply that declines a meeting on Friday.",
        "Thank you for the invitation; I am afraid I cannot make it on Friday, but early next week would suit me.",
        "No, Friday is impossible.",
    ),
    (
        "A train leaves at 9:40 and arrives at 12:15. How long is the journey?",
        "2 hours and 35 minutes.",
        "3 hours and 25 minutes.",
    ),
    (
        "Who wrote 'Pride and Prejudice', and when was it published?",
        "Jane Austen; it appeared in 1813.",
        "Charlotte Bronte wrote it around 1850.",
    ),
    (
        "Suggest a name for a small shop that repairs bicycles.",
        "Second Spin: short, easy to remember, and it says that old wheels turn again.",
        "Shop.",
    ),
    (
        "Why is the sum of two odd numbers even?",
        "Write them as 2a + 1 and 2b + 1: their sum is 2(a + b + 1), a multiple of two.",
        "Because 3 + 5 = 8.",
    ),
)

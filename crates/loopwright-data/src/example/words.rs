//! Names, products and the small talk around a message. Every person, shop and product is invented.

/// Given names.
pub(super) const FIRST_NAMES: [&str; 48] = [
    "Amara",
    "Anders",
    "Anneliese",
    "Beatriz",
    "Bjarne",
    "Camila",
    "Chidi",
    "Clémence",
    "Dagmar",
    "Darius",
    "Eilidh",
    "Elif",
    "Emeka",
    "Fiona",
    "Frida",
    "Gareth",
    "Giulia",
    "Hanne",
    "Hiroshi",
    "Ignacio",
    "Imogen",
    "Ingrid",
    "Jasper",
    "José",
    "Kavita",
    "Katarzyna",
    "Lars",
    "Leocadia",
    "Lucía",
    "Magnus",
    "Mairead",
    "Maribel",
    "Nadia",
    "Niamh",
    "Octavia",
    "Oskar",
    "Priya",
    "Quentin",
    "Rafael",
    "Renée",
    "Saoirse",
    "Stefan",
    "Tamsin",
    "Tobias",
    "Ursula",
    "Viktor",
    "Wilhelmina",
    "Zoë",
];

/// Family names.
pub(super) const LAST_NAMES: [&str; 52] = [
    "Abernathy",
    "Achterberg",
    "Adeyemi",
    "Albrecht",
    "Almqvist",
    "Baptista",
    "Bellweather",
    "Blomgren",
    "Brannigan",
    "Castellano",
    "Chaudhary",
    "Cruickshank",
    "Dombrowski",
    "Duquesne",
    "Eberhardt",
    "Esquivel",
    "Fairweather",
    "Fitzgibbon",
    "Gallardo",
    "Gottschalk",
    "Haverford",
    "Hollingworth",
    "Ibarra",
    "Ivarsson",
    "Jankowski",
    "Kettleburgh",
    "Kovačević",
    "Lindqvist",
    "Lockridge",
    "Macalister",
    "Marchetti",
    "Montenegro",
    "Müller",
    "Nakamura",
    "Núñez",
    "Obafemi",
    "Ottosson",
    "Pemberton",
    "Quiñones",
    "Rasmussen",
    "Rosenthal",
    "Santangelo",
    "Schönfeld",
    "Strickland",
    "Tanaka",
    "Thistlewood",
    "Underhill",
    "Valcourt",
    "Vasquez",
    "Winterbourne",
    "Yilmaz",
    "Zielinski",
];

/// Mail hosts under names that RFC 2606 and RFC 6761 reserve.
pub(super) const HOSTS: [&str; 5] = ["mail.example", "post.example", "example.com", "example.org", "inbox.example"];

/// Products of the first month.
pub(super) const PRODUCTS: [&str; 14] = [
    "Kestrel headphones",
    "Lumo lamp",
    "Brava kettle",
    "Tern backpack",
    "Orla blender",
    "Pico speaker",
    "Fjord jacket",
    "Juno chair",
    "Calla vase",
    "Basalt pan",
    "headphones",
    "lamp",
    "kettle",
    "backpack",
];

/// The product that the second month brings, and its parts.
pub(super) const NEW_PRODUCTS: [&str; 4] = ["Halo ring", "Halo ring in size 9", "charging cradle", "Halo sleep band"];

pub(super) const CITIES: [&str; 12] =
    ["Leeds", "Porto", "Graz", "Malmö", "Tampere", "Ghent", "Bilbao", "Lyon", "Gdańsk", "Cork", "Aarhus", "Brno"];
pub(super) const WEEKDAYS: [&str; 6] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
pub(super) const AGO: [&str; 8] = [
    "yesterday",
    "last week",
    "three days ago",
    "two weeks ago",
    "on the 3rd",
    "last Monday",
    "a month ago",
    "on Friday",
];
pub(super) const CODES: [&str; 7] = ["WINTER15", "HELLO10", "NEST20", "FREESHIP", "FRIENDS5", "JAN30", "THANKYOU"];

/// First words.
pub(super) const GREETINGS: [&str; 10] = [
    "hi",
    "hello",
    "hey",
    "hi there",
    "hello team",
    "dear support",
    "good morning",
    "good evening",
    "hi support team",
    "hey guys",
];
pub(super) const GREETINGS_FORMAL: [&str; 5] =
    ["dear sir or madam", "dear support team", "good day", "to whom it may concern", "dear customer service"];

/// Sentences before the matter.
pub(super) const OPENERS: [&str; 9] = [
    "[hope you are well|hope you can help me]",
    "[quick|short|just a] question",
    "I am [writing about|contacting you about] {order}",
    "I've been a customer for {n} years",
    "this is [about|regarding] my {product}",
    "sorry to bother you",
    "I [tried to call|called|wrote to you] {ago} [but nobody answered|without success|]",
    "I bought [a|the] {product} {ago}",
    "[first of all thanks for the quick delivery|I love your shop]",
];
pub(super) const OPENERS_FORMAL: [&str; 5] = [
    "we [refer|are referring] to order {order}",
    "further to our [call|mail] of {weekday}",
    "our company [purchased|ordered] [{n} units of|] the {product} {ago}",
    "please be advised as follows",
    "I write on behalf of our purchasing department",
];

/// Sentences that have nothing to do with the matter, although their words do.
pub(super) const DISTRACTORS: [&str; 12] = [
    "the invoice is fine, by the way",
    "the delivery was quick last time",
    "my password works again, so that is solved",
    "I do not want a refund yet",
    "the {product} I got before was great",
    "I paid by card [as always|]",
    "my address has not changed",
    "the tracking said delivered",
    "I used a discount code for it",
    "it came in a nice box",
    "please do not cancel anything",
    "I have the invoice here",
];

/// Sentences after the matter.
pub(super) const CLOSERS: [&str; 11] = [
    "[please help|can you help|what should I do]",
    "[thanks|thank you] in advance",
    "[please answer soon|get back to me|let me know]",
    "I am [really|very|quite] [annoyed|unhappy|disappointed]",
    "this is urgent",
    "no rush",
    "[what are the next steps|what happens now]",
    "I would [appreciate|like] an answer [today|by {weekday}|]",
    "you were great so far",
    "[not happy|not good enough]",
    "thanks",
];
pub(super) const CLOSERS_FORMAL: [&str; 5] = [
    "we [look forward to|expect] your [reply|confirmation]",
    "please [confirm|reply] [by return|by {weekday}|in writing]",
    "we [reserve all rights|trust this will be settled soon]",
    "your prompt attention is appreciated",
    "[kindly|please] treat this as [urgent|a priority]",
];

pub(super) const SIGN_OFFS: [&str; 7] =
    ["Thanks, ", "Regards, ", "Best, ", "Cheers, ", "Thank you,\n", "Best wishes,\n", "Kind regards,\n"];

/// Messages in other languages by intent: Spanish, German, French.
pub(super) const FOREIGN: [(&str, &str); 18] = [
    (
        "refund",
        "Hola, quiero que me devuelvan el dinero del pedido {ref}, ya devolví el producto y todavía no he recibido nada.",
    ),
    ("track_order", "Buenos días, ¿me pueden decir dónde está mi pedido {ref}? El enlace de seguimiento no funciona."),
    ("damaged_item", "Hola, el producto llegó roto y la caja estaba abierta. ¿Qué tengo que hacer ahora?"),
    ("invoice_copy", "Necesito una copia de la factura del pedido {ref} para mi contabilidad, muchas gracias."),
    ("cancel_order", "Quiero cancelar el pedido {ref} porque lo compré dos veces por error."),
    ("change_address", "Me he mudado a otra ciudad y necesito cambiar la dirección de entrega del pedido {ref}."),
    (
        "refund",
        "Guten Tag, ich habe die Ware letzte Woche zurückgeschickt und warte noch auf die Erstattung von {amount}.",
    ),
    ("track_order", "Hallo, wo bleibt meine Bestellung {ref}? Die Sendungsverfolgung zeigt leider gar nichts an."),
    ("damaged_item", "Leider ist die Lampe mit einem Riss im Glas angekommen, ich möchte bitte Ersatz haben."),
    (
        "reset_password",
        "Ich kann mich nicht mehr anmelden, weil ich mein Passwort vergessen habe. Können Sie mir helfen?",
    ),
    ("invoice_copy", "Bitte schicken Sie mir die Rechnung für {ref} noch einmal, ich brauche sie für das Finanzamt."),
    ("late_delivery", "Meine Bestellung {ref} sollte schon am Freitag kommen, und ich warte immer noch darauf."),
    ("refund", "Bonjour, j'ai renvoyé le produit il y a deux semaines et je n'ai toujours pas été remboursé."),
    ("track_order", "Bonjour, pourriez-vous me dire où se trouve ma commande {ref}, s'il vous plaît ?"),
    ("damaged_item", "Le colis est arrivé complètement écrasé et la bouilloire ne fonctionne pas, que dois-je faire ?"),
    ("close_account", "Je voudrais supprimer mon compte et toutes mes données personnelles, merci de me confirmer."),
    ("payment_failed", "Mon paiement a été refusé trois fois alors que ma carte est parfaitement valable."),
    ("invoice_copy", "Je n'ai jamais reçu la facture de ma commande {ref}, pouvez-vous me la renvoyer ?"),
];

//! Names for stand-ins, of many places, written down for this program.

/// First names.
#[rustfmt::skip]
pub(super) const FIRST: [&str; 64] = [
    "Adele", "Akira", "Alma", "Amadou", "Anika", "Arturo", "Ayla", "Bastian", "Benedikt", "Bianca", "Camila", "Carlos",
    "Dalia", "Daria", "Deniz", "Edda", "Elif", "Emeka", "Enrique", "Esther", "Fabian", "Farida", "Felicity", "Gareth",
    "Gloria", "Hana", "Hassan", "Henrik", "Imani", "Ingrid", "Ismael", "Jasmin", "Johanna", "Jonas", "Kamala", "Katya",
    "Kenji", "Laila", "Leonie", "Lorenzo", "Magnus", "Malika", "Marek", "Mercy", "Milena", "Nadia", "Naveen", "Nikolai",
    "Odette", "Olivia", "Pavel", "Petra", "Quentin", "Rafael", "Renata", "Rosalie", "Samira", "Sanjay", "Tamara", "Tessa",
    "Tobias", "Ulrike", "Viktor", "Yasmin",
];

/// Last names.
#[rustfmt::skip]
pub(super) const LAST: [&str; 64] = [
    "Abara", "Adeyemi", "Albrecht", "Almeida", "Andersen", "Aydin", "Bakker", "Barros", "Bergman", "Bianchi", "Brennan",
    "Carvalho", "Castillo", "Costa", "Dahlberg", "Demir", "Dubois", "Eklund", "Eriksen", "Farouk", "Ferrari", "Fischer",
    "Fontaine", "Fujita", "Gallagher", "Garnier", "Hartmann", "Hashimoto", "Holm", "Horvat", "Ibrahim", "Iversen", "Jansen",
    "Kapoor", "Kaya", "Keller", "Kimura", "Kovacs", "Lambert", "Lindgren", "Mahler", "Marchetti", "Mbeki", "Moreau", "Nair",
    "Navarro", "Novak", "Okonkwo", "Olsen", "Petrov", "Popescu", "Quinn", "Rahman", "Reyes", "Rossi", "Sandoval", "Schreiber",
    "Takeda", "Torres", "Vasquez", "Virtanen", "Weiss", "Yilmaz", "Zielinski",
];

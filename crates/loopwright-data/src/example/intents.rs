//! What customers of the support desk want, and the ways they put it.
//!
//! Each intent has cores in the voice of consumers and of business customers, and details that may follow. `later` are
//! cores of the second month: the same wish in words that the first month does not use. Every text is ours.

/// One intent: a label and the templates for it.
pub(super) struct Intent {
    pub(super) label: &'static str,
    /// How often it comes up, relative to the others.
    pub(super) weight: u32,
    pub(super) consumer: &'static [&'static str],
    pub(super) business: &'static [&'static str],
    pub(super) detail: &'static [&'static str],
    pub(super) later: &'static [&'static str],
}

/// The intents of both months.
pub(super) const INTENTS: [Intent; 14] = [
    Intent {
        label: "refund",
        weight: 11,
        consumer: &[
            "[I want|I'd like|can I get] [my money back|a refund] for [the|my] {product}",
            "when [will|do] I [get|see] the refund [for|on] {order}",
            "I [sent|returned|gave back] the {product} [{ago}|and the money is still missing]. [where is my refund|has the refund gone out]",
            "please refund [me|the {amount}|my {product}]",
            "you [promised|told me there would be] a refund of {amount} and [nothing came|it never came|my bank shows nothing]",
            "how [long does|do I get] a refund [take|for a returned {product}]",
            "the {product} is not for me, [how do I return it|I want to return it and be paid back]",
            "I [never asked for|don't need] the {product}, [refund it|give me the money back] [please|now|]",
        ],
        business: &[
            "we [hereby request|ask for] reimbursement of {amount} [for|relating to] order {order}",
            "our accounts team [has not received|is still missing] the [credit|reimbursement] for {order}",
            "kindly [process|arrange] the [return and reimbursement|reimbursement] of [{n} units of|] the {product}",
        ],
        detail: &[
            "it was {amount}",
            "I paid [by card|with my card|by transfer]",
            "the parcel went back {ago}",
            "I still have the receipt",
        ],
        later: &[
            "[reverse|undo] the [transaction|debit] of {amount} [and top up my wallet|to my wallet balance]",
            "my wallet [shows|still shows] zero after the [trial ended|hand-in at the kiosk]",
            "the kiosk took the {product} back, [but|yet] my wallet [was not topped up|balance has not moved]",
        ],
    },
    Intent {
        label: "invoice_copy",
        weight: 8,
        consumer: &[
            "[can|could] you send me [the|an] invoice for {order}",
            "I [lost|can't find|deleted] the [invoice|receipt|bill] for my {product}",
            "I need [a copy of|] the [invoice|receipt] [for my taxes|for my insurance|for the warranty card]",
            "where do I [download|find] [my|the] invoice",
            "the [receipt|invoice] [email|pdf] never [arrived|came], please send it again",
            "please mail me the bill for {order} [once more|as a pdf]",
        ],
        business: &[
            "please [issue|forward] [a duplicate of|] the invoice for {order} [with our VAT number|to our accounts department]",
            "our auditor [requires|asks for] the tax document for {order}",
            "we [require|need] a proforma and the final [invoice|statement] for [{n} units of|] the {product}",
        ],
        detail: &[
            "it is for the tax office",
            "a pdf would be fine",
            "the order was placed {ago}",
            "the old one has the wrong date",
        ],
        later: &[],
    },
    Intent {
        label: "change_address",
        weight: 7,
        consumer: &[
            "I [moved|am moving] to {city}, [please change|how do I change] my address",
            "can you [update|change] the [delivery|shipping] address [of|for] {order}",
            "the address [on|in] [my account|{order}] is [wrong|old|out of date]",
            "I [typed|entered|gave] the wrong street [for|with] {order}",
            "please send {order} to [my new flat|my office|my parents' house] in {city} instead",
            "my house number is wrong [on|in] {order}",
        ],
        business: &[
            "our [office|warehouse|branch] has relocated to {city}, please [amend|update] the [delivery|ship-to] details",
            "kindly [amend|correct] the consignee address of {order}",
            "the registered [seat|address] of our company [has changed|is now in {city}]",
        ],
        detail: &[
            "we moved {ago}",
            "the postcode is new, too",
            "the neighbour cannot take it",
            "it has not shipped yet",
        ],
        later: &[
            "[switch|reroute] it to the locker [near|beside] the station in {city}",
            "[can the drone drop|let the drone drop] it at another pin, [my balcony pin|the saved pin] is off",
            "the pin on the map [sits|is] two blocks away from [me|my door], [fix|move] it",
        ],
    },
    Intent {
        label: "track_order",
        weight: 10,
        consumer: &[
            "where is [my order|{order}|my {product}]",
            "[has|did] {order} [shipped|left the warehouse] yet",
            "[can|could] you [tell|give] me the [status|tracking number|tracking link] [of|for] {order}",
            "the tracking [page|link] [does not work|shows nothing|is empty]",
            "when [will|does] [my {product}|{order}] [arrive|get here]",
            "I'd like to [know|follow] where my parcel is",
            "which carrier [brings|has] {order}",
        ],
        business: &[
            "please [advise|confirm] the [dispatch status|expected delivery date] of {order}",
            "we [require|need] the consignment number [of|for] {order}",
            "[has|was] the pallet with [{n} units of|] the {product} been dispatched",
        ],
        detail: &[
            "I ordered it {ago}",
            "the confirmation came {ago}",
            "I will be away on {weekday}",
            "it is a present",
        ],
        later: &[
            "the courier dot on the [map|live map] [is frozen|has not moved|jumps around] [since {weekday}|]",
            "what [slot|window] did the [rider|courier] book for me",
            "the [rider|courier] said [ten minutes|one hour], [which stop am I|how many stops are left]",
        ],
    },
    Intent {
        label: "late_delivery",
        weight: 8,
        consumer: &[
            "{order} [should have been|was supposed to be] here {ago}",
            "my {product} is [late|overdue|days late], [what is going on|this is too slow]",
            "you [promised|said] delivery [by|on] {weekday} and [it did not come|nobody came|nothing came]",
            "[still|I am still] waiting for {order}, it is [{n} days|over a week] late",
            "the delivery [keeps being|was] [delayed|postponed|pushed back] [again|]",
            "why does [it|{order}] take so long, the date [has passed|is over]",
        ],
        business: &[
            "the agreed delivery date of {order} [has lapsed|was not met]",
            "the delay of {order} [is holding up|stops] our [production|opening|project]",
            "we [regret to note|must point out] that the consignment is {n} days overdue",
        ],
        detail: &[
            "I took a day off for it",
            "the party is on {weekday}",
            "this is the second time",
            "nobody answers the hotline",
        ],
        later: &[],
    },
    Intent {
        label: "cancel_order",
        weight: 8,
        consumer: &[
            "[please|can you] cancel {order}",
            "I [want|need|would like] to cancel [my order|the order|the {product}] [before it ships|]",
            "I ordered [twice|the wrong thing] by mistake, [cancel|please cancel] one [of them|]",
            "[stop|don't send] {order}, I [changed my mind|found it cheaper|no longer need it]",
            "how do I cancel [an order|something I just bought]",
            "the cancel button [is grey|does nothing|is gone] for {order}",
        ],
        business: &[
            "we [hereby withdraw|must withdraw] [from|] our order {order}",
            "please [void|annul] purchase {order}, [the project was stopped|the budget was not approved]",
            "kindly cancel [{n} units|the remaining units] of the {product} on {order}",
        ],
        detail: &[
            "I placed it [an hour ago|today]",
            "it has not shipped yet",
            "my wife bought one already",
            "I chose the wrong colour",
        ],
        later: &[],
    },
    Intent {
        label: "damaged_item",
        weight: 9,
        consumer: &[
            "the {product} [arrived|came] [broken|damaged|cracked|in pieces]",
            "[there is|I found] a [crack|dent|scratch|hole] in [the|my new] {product}",
            "the box was [crushed|wet|torn] and the {product} inside is [broken|ruined]",
            "my {product} [was smashed|got damaged] [in the post|on the way]",
            "the {product} [leaks|has a bent part|has a broken corner], straight out of the box",
            "I [unpacked|opened] it and the glass [was|is] shattered",
        ],
        business: &[
            "[{n} units|part] of the {product} [were received in damaged condition|show transport damage]",
            "we [report|hereby report] transport damage [to|on] {order}",
            "the goods [of|under] {order} [were refused|were accepted under reserve] owing to damaged packaging",
        ],
        detail: &[
            "I can send photos",
            "the driver just left it in the rain",
            "I need a new one",
            "the packaging was thin",
        ],
        later: &[],
    },
    Intent {
        label: "wrong_item",
        weight: 7,
        consumer: &[
            "I [got|received] [the wrong {product}|something else] instead of [the|my] {product}",
            "you sent me a {product}, I [ordered|bought] a {product}",
            "this is not [what I ordered|the colour I chose|the size I picked]",
            "wrong [colour|size|model] in {order}, I [wanted|asked for] [blue|green|the large one]",
            "the [parcel|box] has somebody else's {product} in it",
            "there [was|is] a {product} in the parcel that I never [chose|picked]",
        ],
        business: &[
            "the [delivered articles do|delivery does] not correspond to [our order|{order}]",
            "we received [{n} units of|] the {product} in place of the {product}",
            "the item codes [on|in] {order} [differ from|do not match] the goods supplied",
        ],
        detail: &[
            "the label on the box is right",
            "who takes the wrong one back",
            "I need the right one by {weekday}",
            "the slip says something else",
        ],
        later: &[],
    },
    Intent {
        label: "reset_password",
        weight: 8,
        consumer: &[
            "I [forgot|lost|can't remember] my password",
            "[I can't|cannot|unable to] [log in|sign in], it says [wrong password|my password is wrong]",
            "the password reset [link|mail|email] [never comes|has expired|does not work]",
            "how [do|can] I [reset|change] my password",
            "my account is locked after [three|too many] [tries|attempts]",
            "please send me a [new password|reset link]",
        ],
        business: &[
            "our [buyer|purchasing agent] [is unable to|cannot] access the [portal|business portal]",
            "please reset the credentials [of|for] our company [login|account]",
            "the [portal login|login] of our [colleague|procurement team] [was|is] blocked",
        ],
        detail: &[
            "I tried it on two browsers",
            "I checked the spam folder",
            "it worked {ago}",
            "the mail address is right",
        ],
        later: &[
            "the passkey [prompt|request] [loops|spins] and [then|] [kicks|throws] me out",
            "[face unlock|my fingerprint] [is refused|fails] since the [new app|app redesign], [no way in|I am locked out of the app]",
            "the six [digit|figure] authenticator [code|number] [is rejected|never matches]",
        ],
    },
    Intent {
        label: "close_account",
        weight: 6,
        consumer: &[
            "[please|I want you to] [delete|close|remove] my account",
            "how do I [delete|close] my [account|profile]",
            "I [don't shop here|won't shop here] any more, [close|delete] my account",
            "remove [all my data|my profile and my data]",
            "I want to leave, [erase|wipe] my profile",
            "I have two accounts, [close|delete] the [old|second] one",
        ],
        business: &[
            "we [wish to|would like to] terminate our business account",
            "our company [ceases|has ceased] trading, please [close|deactivate] the [account|customer record]",
            "please deactivate the users of our [former|closed] branch [in {city}|]",
        ],
        detail: &["confirm it by mail", "I have no open orders", "keep nothing", "I asked {ago} already"],
        later: &[],
    },
    Intent {
        label: "payment_failed",
        weight: 8,
        consumer: &[
            "my [card|payment] [was|is] [declined|refused|rejected] [at checkout|]",
            "I [can't|cannot] pay for [my {product}|{order}], [the payment fails|it always fails]",
            "the payment [page|screen] [hangs|crashes|goes blank] [after I enter my card|when I click pay]",
            "payment failed [again|three times] but my card is [fine|valid]",
            "I was charged twice [for {order}|], one of [them|the payments] failed",
            "the bank [approved|confirmed] it, [your page|the checkout] says [error|payment failed]",
        ],
        business: &[
            "the [transfer|direct debit] for {order} was [returned|not accepted] by your bank",
            "our corporate card is [declined|not accepted] [in the portal|]",
            "settlement of {order} [failed|could not be completed]",
        ],
        detail: &[
            "the card ends next year",
            "there is enough money on it",
            "it is the same card as always",
            "the error has number {n}{n}4",
        ],
        later: &[],
    },
    Intent {
        label: "promo_code",
        weight: 7,
        consumer: &[
            "the [code|discount code|voucher] {code} [does not work|is not accepted|is invalid]",
            "I [forgot to enter|could not use] my [voucher|discount code] {code}",
            "[is there|do you have] a discount [for students|for new customers|on the {product}]",
            "the [newsletter|welcome] discount [was not applied|is missing] on {order}",
            "my gift card [has no balance|is not accepted|shows an error]",
            "{code} took [nothing|only half] off [the {product}|my basket]",
        ],
        business: &[
            "the [agreed|contractual] rebate [was not applied|is missing] on {order}",
            "please [confirm|apply] the volume discount for [{n}0 units of|] the {product}",
            "the framework [terms|price list] grant us a rebate that {code} does not [show|reflect]",
        ],
        detail: &[
            "it is valid until {weekday}",
            "the basket was over {amount}",
            "I got it by mail",
            "it worked for my friend",
        ],
        later: &[
            "my [stars|bonus stars] [vanished|expired] [overnight|after the update]",
            "[how many|] stars [make a free shipment|until the next tier], [the app hides it|I cannot see it]",
            "I [collected|saved] {n}00 stars and [the tier is still bronze|silver never came]",
        ],
    },
    Intent {
        label: "warranty_claim",
        weight: 8,
        consumer: &[
            "my {product} [stopped working|died] after {n} months, [is it|it must be] under warranty",
            "the {product} [broke|gave up] [within a year|last week], I want [to use the warranty|a warranty repair]",
            "how [do I claim|does] the [warranty|guarantee] [work|] for [the|my] {product}",
            "[is|will] a [worn|dead] battery [be covered|covered] by the warranty",
            "the repair [of|on] my {product} [under warranty|] [takes ages|was refused]",
            "the {product} turns itself off since [spring|last month], [please repair it|repair or replace it]",
        ],
        business: &[
            "we [assert|lodge] a warranty claim for [{n} units of|] the {product}",
            "[{n} units of|several of] the {product} failed within the guarantee period",
            "please [advise|state] the return procedure for defective units under guarantee",
        ],
        detail: &[
            "I bought it {n} months ago",
            "the serial number is on the bottom",
            "I registered it",
            "it was never dropped",
        ],
        later: &[],
    },
    Intent {
        label: "stock_question",
        weight: 7,
        consumer: &[
            "when [will|is] the {product} [be back|back] in stock",
            "[do|will] you [have|get] the {product} [in green|in a larger size|again]",
            "the {product} is [sold out|unavailable], [when does it come back|will there be more]",
            "is the {product} [available|in stock] [in your shop in {city}|]",
            "[can|could] you [tell|mail] me when the {product} is [available|there] again",
            "how many of the {product} are left",
        ],
        business: &[
            "please [confirm|state] the availability of {n}0 units of the {product}",
            "what is the lead time for [{n}0 units of|] the {product}",
            "we [plan|intend] to order {n}0 units of the {product}, [are they|is this quantity] on hand",
        ],
        detail: &[
            "I would take two",
            "the page just says soon",
            "I have been looking for it since {weekday}",
            "any colour will do",
        ],
        later: &[],
    },
];

/// The intent that only the second month knows: the new product and what goes wrong with it.
pub(super) const NEW_INTENT: Intent = Intent {
    label: "pair_device",
    weight: 0,
    consumer: &[
        "the Halo ring [won't|does not|refuses to] [pair|connect] with my phone",
        "[bluetooth|the bluetooth link] [drops|cuts out] [every hour|all night], the ring [loses|forgets] my phone",
        "the app [can't|does not] [find|see] [the|my] Halo ring",
        "the firmware [update|upgrade] [hangs|is stuck] at {n}0 percent",
        "[heart rate|the sleep score] [is not synced|stays empty|does not sync] [since the firmware update|]",
        "how do I [pair|connect] the ring [with|to] a [second|new] phone",
        "the ring blinks red on its [cradle|charging cradle] and [does not sync|won't pair]",
    ],
    business: &[
        "[{n} of|several of] the Halo rings [cannot be enrolled|fail to pair] with our [fleet|company] phones",
        "the firmware [rollout|update] of the rings [fails|aborts] on our managed devices",
        "please [advise|explain] how Halo rings are provisioned over bluetooth",
    ],
    detail: &["I use the newest app", "airplane mode did not help", "it is size {n}", "I charged it all night"],
    later: &[],
};

/// Cores that two intents share: nobody could tell these apart, and a learner should not be able to.
pub(super) const AMBIGUOUS: [([&str; 2], &str); 8] = [
    (["track_order", "late_delivery"], "[any news|is there any news|what is new] about {order}"),
    (["refund", "cancel_order"], "I changed my mind about the {product}, what [now|are my options]"),
    (["damaged_item", "warranty_claim"], "the {product} [does not work|is broken]"),
    (["wrong_item", "damaged_item"], "[what came|the {product} that came] is not [right|okay]"),
    (["payment_failed", "promo_code"], "the checkout [does not accept it|gives me an error]"),
    (["reset_password", "close_account"], "I [need|want] [help with|out of] my account"),
    (["invoice_copy", "change_address"], "the [address|name] on the invoice is [wrong|not ours]"),
    (["stock_question", "track_order"], "when [do I get|can I have] the {product}"),
];

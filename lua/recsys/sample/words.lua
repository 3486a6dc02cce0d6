--- What the sample's articles are about and the words they say it with, in English and Hindi.
---
--- Part of the generator's definition: its constants' hash covers these lists. Word lists overlap a little across
--- topics (a budget is politics and economy), as words do.
local words = {}

words.languages = { "en", "hi" }

--- Topic name, weight of its supply and demand, English words, Hindi words.
local TOPICS = {
  { "politics", 1.5,
    "parliament minister opposition cabinet bill alliance governor assembly policy coalition ordinance budget",
    "संसद मंत्री विपक्ष कैबिनेट विधेयक गठबंधन राज्यपाल विधानसभा नीति सरकार अध्यादेश बजट" },
  { "elections", 1.1,
    "polls voters ballot campaign candidate turnout constituency manifesto seats alliance rally exit",
    "चुनाव मतदाता मतदान प्रचार उम्मीदवार सीट घोषणापत्र रैली गठबंधन मतगणना क्षेत्र नामांकन" },
  { "economy", 1.0,
    "inflation growth gdp budget exports deficit rupee trade reserve fiscal imports tax",
    "महंगाई विकास जीडीपी बजट निर्यात घाटा रुपया व्यापार भंडार राजकोषीय आयात कर" },
  { "markets", 1.0,
    "sensex nifty shares investors stocks rally ipo bonds brokers trading dividend equities",
    "सेंसेक्स निफ्टी शेयर निवेशक बाजार तेजी आईपीओ बॉन्ड ब्रोकर कारोबार लाभांश गिरावट" },
  { "startups", 0.8,
    "founder funding valuation unicorn venture seed accelerator pitch investors acquisition layoffs platform",
    "संस्थापक फंडिंग मूल्यांकन यूनिकॉर्न स्टार्टअप उद्यम निवेशक अधिग्रहण छंटनी प्लेटफॉर्म नवाचार पूंजी" },
  { "technology", 1.0,
    "software ai cloud chips data privacy developers internet algorithm robots platform update",
    "सॉफ्टवेयर एआई क्लाउड चिप डेटा निजता डेवलपर इंटरनेट एल्गोरिदम रोबोट प्लेटफॉर्म अपडेट" },
  { "gadgets", 0.9,
    "smartphone camera battery display launch laptop charger earbuds tablet processor foldable specs",
    "स्मार्टफोन कैमरा बैटरी डिस्प्ले लॉन्च लैपटॉप चार्जर ईयरबड्स टैबलेट प्रोसेसर फोल्डेबल फीचर" },
  { "science", 0.7,
    "researchers study fossil genome physics species laboratory discovery experiment protein climate theory",
    "शोधकर्ता अध्ययन जीवाश्म जीनोम भौतिकी प्रजाति प्रयोगशाला खोज प्रयोग प्रोटीन जलवायु सिद्धांत" },
  { "space", 0.8,
    "satellite rocket orbit isro moon lander astronaut telescope launch galaxy payload asteroid",
    "उपग्रह रॉकेट कक्षा इसरो चंद्रमा लैंडर अंतरिक्ष दूरबीन प्रक्षेपण आकाशगंगा पेलोड क्षुद्रग्रह" },
  { "health", 1.0,
    "hospital vaccine doctors patients diabetes heart virus surgery medicine diet mental symptoms",
    "अस्पताल टीका डॉक्टर मरीज मधुमेह हृदय वायरस सर्जरी दवा आहार मानसिक लक्षण" },
  { "education", 0.9,
    "students exam university syllabus school results admission teachers campus scholarship board marks",
    "छात्र परीक्षा विश्वविद्यालय पाठ्यक्रम स्कूल परिणाम प्रवेश शिक्षक परिसर छात्रवृत्ति बोर्ड अंक" },
  { "jobs", 0.8,
    "recruitment vacancies salary hiring applicants interview pension unemployment layoffs clerk notification exam",
    "भर्ती रिक्तियां वेतन नौकरी आवेदक साक्षात्कार पेंशन बेरोजगारी छंटनी क्लर्क अधिसूचना परीक्षा" },
  { "cricket", 1.6,
    "wicket batsman innings bowler century ipl spinner umpire runs captain over stumps",
    "विकेट बल्लेबाज पारी गेंदबाज शतक आईपीएल स्पिनर अंपायर रन कप्तान ओवर स्टंप" },
  { "football", 0.9,
    "goal striker penalty midfielder league coach transfer fifa goalkeeper derby captain fixture",
    "गोल स्ट्राइकर पेनल्टी मिडफील्डर लीग कोच ट्रांसफर फीफा गोलकीपर डर्बी कप्तान मुकाबला" },
  { "tennis", 0.6,
    "serve racket wimbledon seed doubles backhand tiebreak court slam rankings set volley",
    "सर्विस रैकेट विंबलडन वरीयता युगल बैकहैंड टाईब्रेक कोर्ट स्लैम रैंकिंग सेट वॉली" },
  { "bollywood", 1.4,
    "actor film trailer director song box-office actress producer premiere sequel cameo shoot",
    "अभिनेता फिल्म ट्रेलर निर्देशक गाना बॉक्स-ऑफिस अभिनेत्री निर्माता प्रीमियर सीक्वल कैमियो शूटिंग" },
  { "television", 0.8,
    "serial episode anchor reality contestant streaming season host finale audition web-series ratings",
    "धारावाहिक एपिसोड एंकर रियलिटी प्रतियोगी स्ट्रीमिंग सीजन होस्ट फिनाले ऑडिशन वेब-सीरीज टीआरपी" },
  { "crime", 1.2,
    "police arrested murder robbery accused fraud gang custody weapon victim smuggling raid",
    "पुलिस गिरफ्तार हत्या लूट आरोपी धोखाधड़ी गिरोह हिरासत हथियार पीड़ित तस्करी छापा" },
  { "courts", 0.8,
    "verdict judge petition bail hearing lawyer tribunal appeal court bench judgment accused",
    "फैसला न्यायाधीश याचिका जमानत सुनवाई वकील न्यायाधिकरण अपील अदालत पीठ निर्णय आरोपी" },
  { "weather", 0.9,
    "rainfall monsoon cyclone heatwave flood temperature fog forecast humidity storm alert climate",
    "बारिश मानसून चक्रवात लू बाढ़ तापमान कोहरा पूर्वानुमान नमी तूफान अलर्ट जलवायु" },
  { "agriculture", 0.7,
    "farmers crop wheat harvest irrigation fertiliser mandi seeds subsidy tractor sowing procurement",
    "किसान फसल गेहूं कटाई सिंचाई उर्वरक मंडी बीज सब्सिडी ट्रैक्टर बुवाई खरीद" },
  { "travel", 0.7,
    "tourists airline beach passport hotel flight visa temple trek railway itinerary resort",
    "पर्यटक एयरलाइन समुद्रतट पासपोर्ट होटल उड़ान वीजा मंदिर ट्रेक रेलवे यात्रा रिसॉर्ट" },
  { "automobile", 0.9,
    "suv engine mileage electric scooter sedan showroom motorcycle torque charging airbags launch",
    "एसयूवी इंजन माइलेज इलेक्ट्रिक स्कूटर सेडान शोरूम मोटरसाइकिल टॉर्क चार्जिंग एयरबैग लॉन्च" },
  { "religion", 0.8,
    "temple festival pilgrims prayer puja mosque saint ritual priest shrine devotees procession",
    "मंदिर त्योहार तीर्थयात्री प्रार्थना पूजा मस्जिद संत अनुष्ठान पुजारी धाम श्रद्धालु शोभायात्रा" },
}

words.generic = {
  en = "the new after over says first big in year how why today with from amid plan major against set latest report "
    .. "people country here top may week day see will two more key state before time under",
  hi = "के में से पर ने को की नया आज बड़ा पहले बाद साल क्यों कैसे खबर लोग देश जानिए रिपोर्ट बीच समय दिन अब सबसे "
    .. "दो तीन बड़ी ताजा कहा राज्य साथ तक फिर",
}

--- Towns, with a weight for the people who live there.
words.districts = {
  { en = "Delhi", hi = "दिल्ली", weight = 1.8 }, { en = "Mumbai", hi = "मुंबई", weight = 1.5 },
  { en = "Lucknow", hi = "लखनऊ", weight = 1.3 }, { en = "Patna", hi = "पटना", weight = 1.1 },
  { en = "Jaipur", hi = "जयपुर", weight = 1.0 }, { en = "Bhopal", hi = "भोपाल", weight = 0.9 },
  { en = "Indore", hi = "इंदौर", weight = 0.9 }, { en = "Kanpur", hi = "कानपुर", weight = 0.9 },
  { en = "Varanasi", hi = "वाराणसी", weight = 0.8 }, { en = "Pune", hi = "पुणे", weight = 0.8 },
  { en = "Ranchi", hi = "रांची", weight = 0.7 }, { en = "Gurugram", hi = "गुरुग्राम", weight = 0.7 },
}

--- Newspapers and agencies; each leans to three topics (by position in the list of topics) and has one language.
words.sources = {
  en = { "The Daily Ledger", "Capital Express", "Metro Herald", "Pitch & Wicket", "Reel Times", "Byte Weekly",
    "Campus Post", "The Open Court", "Harvest Line", "Orbit News", "Street Journal", "Wheels Today", "Evening Mail",
    "Northern Star", "People's Wire" },
  hi = { "दैनिक प्रभात", "जन समाचार", "खेल भूमि", "फिल्म दर्पण", "राज्य संवाद", "किसान वाणी", "शिक्षा पत्र",
    "नगर टाइम्स", "बाजार भाव", "लोक न्याय", "आज की बात", "विज्ञान लोक" },
}

local function split(text)
  local list = {}
  for word in text:gmatch("%S+") do list[#list + 1] = word end
  return list
end

words.topics = {}
for position, topic in ipairs(TOPICS) do
  words.topics[position] = { name = topic[1], weight = topic[2], en = split(topic[3]), hi = split(topic[4]) }
end
words.generic = { en = split(words.generic.en), hi = split(words.generic.hi) }

return words

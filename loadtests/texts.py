"""Texts as callers send them: headlines, sentences, paragraphs, articles, reviews, commands.

Written for this file; the persons and most events are invented. Romanian, but for some commands;
some texts come without diacritics, as people type them.
"""

HEADLINES = (
    "Guvernul amână decizia privind salariile",
    "Accident grav pe autostrada A1, lângă Pitești",
    "CFR Cluj a învins Rapid cu 2-1",
    "Ninsori abundente în Harghita și Covasna",
    "Leul s-a apreciat ușor față de euro",
    "Primăria Timișoara deschide trei creșe noi",
    "Incendiu la un depozit din Ploiești, fără victime",
    "Mirela Stănescu, aleasă rectoră la Iași",
    "Prețul apei crește din 1 martie în București",
    "Simona Drăgan câștigă concursul de pian de la Viena",
    "Trenurile spre Constanța au întârzieri de două ore",
    "Dacia anunță un model electric produs la Mioveni",
    "Ministrul Sănătății, audiat marți în Parlament",
    "Festivalul de la Sibiu aduce 400 de trupe",
    "Pod nou peste Dunăre între Brăila și Tulcea",
    "Elevii din Suceava, primii la olimpiada de fizică",
    "BNR pastreaza dobanda cheie la acelasi nivel",
    "Politia cauta un barbat disparut din Vaslui",
    "Cod portocaliu de furtuna in Dobrogea",
    "Universitatea din Craiova primeste 12 milioane de euro",
)

SENTENCES = (
    "Primarul Sorin Avrămescu a declarat luni că lucrările la linia de tramvai din cartierul "
    "Mănăștur vor fi terminate până la 15 septembrie.",
    "Potrivit Institutului Național de Statistică, exporturile României au crescut cu 4,2% în "
    "primele trei luni ale anului 2023.",
    "Actrița Ileana Cosma, în vârstă de 71 de ani, va primi un premiu pentru întreaga carieră la "
    "Teatrul Național din București.",
    "Compania suedeză Nordvik va construi la Oradea o fabrică de componente auto în care vor lucra "
    "aproximativ 600 de oameni.",
    "Ploile din ultimele zile au dus la creșterea nivelului Siretului, iar autoritățile din Bacău "
    "au evacuat douăzeci de familii.",
    "Echipa de handbal feminin a României va întâlni Norvegia vineri seară, la Polivalenta din "
    "Cluj-Napoca.",
    "Curtea de Apel Galați a respins cererea avocatului Tudor Nechita și a menținut măsura "
    "controlului judiciar.",
    "Banca Transilvania și Asociația Antreprenorilor din Brașov au semnat un acord pentru "
    "finanțarea firmelor mici.",
    "„Nu am promis niciodată acest lucru”, a spus Veronica Pătrașcu, purtătoarea de cuvânt a "
    "partidului, într-o conferință de presă.",
    "În noaptea de 3 spre 4 iunie, pompierii din Râmnicu Vâlcea au intervenit la un incendiu "
    "izbucnit într-un bloc de pe strada Mihai Eminescu.",
    "Cercetătorii de la Institutul de Biologie din Cluj au descoperit în Munții Apuseni o specie "
    "necunoscută de fluture.",
    "Fostul ministru de Externe Radu Cernea a fost numit ambasador al României la Lisabona.",
    "Biletele pentru concertul formației Luna Albastră de la Arenele Romane s-au vândut în mai "
    "puțin de o oră.",
    "Spitalul Județean din Târgu Mureș a cumpărat un aparat de rezonanță magnetică în valoare de "
    "1,8 milioane de euro.",
    "Doi alpiniști polonezi au fost salvați de Salvamont după ce s-au rătăcit în apropiere de "
    "vârful Moldoveanu.",
    "Consiliul Local Sector 3 dezbate joi bugetul pe anul viitor, cu o lună mai târziu decât era "
    "prevăzut.",
    "Delegatia Comisiei Europene condusa de Helena Lindqvist a vizitat marti portul Constanta si "
    "santierul naval din Mangalia.",
    "Tatal meu a lucrat la Combinatul Siderurgic din Galati intre 1974 si 1998, apoi s-a mutat cu "
    "mama la Tecuci.",
    "Buna ziua, as dori sa stiu daca factura din luna mai a ajuns la adresa din Buzau, strada "
    "Unirii numarul 14.",
    "Presedintele clubului Farul a confirmat ca negociaza cu mijlocasul Andrei Pirvan, jucatorul "
    "celor de la Universitatea Craiova.",
)

PARAGRAPHS = (
    "Consiliul Județean Maramureș a aprobat marți contractul pentru modernizarea drumului dintre "
    "Sighetu Marmației și Borșa. Lucrările vor costa 87 de milioane de lei și vor dura doi ani, a "
    "anunțat președintele Gavril Muntean. Constructorul ales este firma DrumNord din Baia Mare, "
    "care a mai lucrat pentru Compania Națională de Administrare a Infrastructurii Rutiere.",
    "Scriitoarea Ana-Maria Codreanu și-a lansat sâmbătă, la Târgul Gaudeamus, al cincilea roman. "
    "Cartea urmărește o familie din Cernăuți care se refugiază în 1944 la Craiova și apoi la Arad. "
    "„Am pornit de la scrisorile bunicii mele, găsite într-un cufăr”, a povestit autoarea. Editura "
    "Orizont a tipărit 5.000 de exemplare, iar traducerea în limba franceză va apărea în "
    "octombrie.",
    "Procurorii DIICOT au făcut vineri 23 de percheziții în județele Dolj, Olt și Teleorman, "
    "într-un dosar de contrabandă cu țigări. Șase persoane au fost duse la audieri la Craiova. "
    "Anchetatorii spun că gruparea, condusă de un bărbat de 42 de ani din Caracal, ar fi adus "
    "marfa din Serbia prin vămile de la Moravița și Calafat.",
    "Temperaturile vor scădea brusc începând de miercuri. Administrația Națională de Meteorologie "
    "a emis o avertizare de tip cod galben pentru Moldova, nordul Munteniei și zona de munte. La "
    "Miercurea Ciuc se vor înregistra minus 18 grade, iar la Întorsura Buzăului minus 16. În "
    "București, cerul va fi temporar noros și va bate vântul.",
    "Grupul olandez Veldkamp a cumpărat 60% din acțiunile producătorului de mobilă Silva Neamț. "
    "Tranzacția, evaluată la 34 de milioane de euro, trebuie aprobată de Consiliul Concurenței. "
    "Fondatorul companiei, inginerul Petru Acatrinei, rămâne director general. Silva Neamț are "
    "fabrici la Piatra-Neamț, Roman și Fălticeni și exportă mai ales în Germania, Austria și "
    "Belgia.",
    "Meciul dintre Oțelul și Petrolul a început cu o repriză anostă, în care portarii abia au "
    "atins mingea. Totul s-a schimbat în minutul 58, când Marius Lupașcu a deschis scorul cu un "
    "șut de la 25 de metri. Oaspeții au egalat prin brazilianul Everton Prado, dar golul lui "
    "Denis Șerban, din prelungiri, a adus victoria gălățenilor în fața a 9.000 de spectatori.",
    "Muzeul Național al Satului a primit o casă de lemn din 1821, adusă bucată cu bucată din satul "
    "Rozavlea. Meșterul Ioan Hotea, care a condus lucrările, spune că fiecare bârnă a fost "
    "numerotată înainte de demontare. Vizitatorii o vor putea vedea de pe 18 mai, de Noaptea "
    "Muzeelor, alături de o expoziție de icoane pe sticlă din colecția Elenei Vasilache.",
    "Profesorul Octavian Rusu predă matematica la Colegiul Național „Mihai Viteazul” din Turda de "
    "aproape treizeci de ani. Elevii lui au obținut 14 medalii internaționale, cele mai recente la "
    "Oslo și la Tokyo. „Nu există copii care nu pot, există doar copii cărora nu le-a explicat "
    "nimeni pe limba lor”, crede profesorul, decorat în ianuarie la Palatul Cotroceni.",
    "Compania aeriană Carpatair Express reia de la 1 aprilie zborurile directe dintre Timișoara și "
    "Munchen. Cursele vor fi operate de patru ori pe săptămână cu avioane Embraer. Directorul "
    "Aeroportului Traian Vuia, Daniela Moga, spune că discută și cu alte două companii despre "
    "rute către Barcelona și Londra.",
    "Am stat trei nopti la o pensiune din Viscri si am ramas foarte multumiti. Gazda, doamna "
    "Maria, ne-a facut dulceata de rubarba si ne-a aratat biserica fortificata. Drumul de la "
    "Rupea este plin de gropi, asa ca va recomand sa mergeti incet. In apropiere puteti vizita "
    "Sighisoara si cetatea de la Saschiz.",
    "Inspectoratul Scolar Judetean Prahova a anuntat ca 37 de scoli vor ramane inchise luni din "
    "cauza viscolului. Cursurile se vor tine online in Sinaia, Busteni si Azuga. Inspectorul "
    "general Lidia Manea a precizat ca decizia pentru Campina se va lua duminica seara, dupa "
    "sedinta cu reprezentantii prefecturii.",
    "Firma la care lucrez, Delta Logistic, are sediul in Giurgiu, dar depozitul principal este la "
    "Chiajna. Pe 12 noiembrie 2022 am trimis o comanda catre clientul nostru din Ruse, Bulgaria, "
    "iar marfa a ajuns abia dupa noua zile. Domnul Stoian de la vama ne-a spus ca lipsea un "
    "certificat, desi acesta fusese atasat.",
    "Un studiu publicat de Universitatea din București și de Universitatea Babeș-Bolyai arată că "
    "tinerii citesc mai mult pe telefon decât pe hârtie. Sociologul Cătălina Berindei, "
    "coordonatoarea cercetării, a intervievat 2.300 de liceeni din Iași, Constanța și Deva. "
    "Rezultatele complete vor fi prezentate la Strasbourg, în cadrul unei conferințe a Consiliului "
    "Europei.",
    "Parcul Natural Porțile de Fier a fost vizitat anul trecut de peste 80.000 de turiști, cu o "
    "cincime mai mult decât în 2019. Cei mai mulți au venit din Germania, Cehia și Polonia pentru "
    "plimbările cu barca prin Cazanele Dunării. Primarul comunei Dubova, Nicolae Iorga-Stan, cere "
    "însă Ministerului Mediului reguli mai stricte pentru pensiunile construite pe mal.",
)

ARTICLES = (
    "Linia de cale ferată dintre Brașov și Sighișoara va fi închisă parțial între 5 și 28 august,"
    " pentru înlocuirea a opt kilometri de șină. Anunțul a fost făcut miercuri de CFR "
    "Infrastructură, care promite autobuze de legătură la Homorod și la Rupea. Călătorii care au "
    "cumpărat deja bilete la trenurile spre Cluj-Napoca, Oradea sau Budapesta își pot recupera "
    "banii în termen de zece zile, la orice casă de bilete din țară. Directorul regional Cornel "
    "Băjenaru explică faptul că traseul nu a mai fost reparat capital din 1987 și că viteza "
    "trenurilor a scăzut, pe unele porțiuni, la 30 de kilometri pe oră. „Știm că deranjăm, dar "
    "fără această lucrare am fi fost obligați să oprim circulația la iarnă”, a declarat el pentru"
    " Radio România Brașov. Asociația Călătorilor Feroviari consideră că anunțul vine prea "
    "târziu. Președinta asociației, Raluca Tomescu, spune că mulți turiști străini și-au rezervat"
    " vacanțele în Transilvania încă din primăvară și că nimeni nu îi va anunța la timp. "
    "Lucrările sunt făcute de un consorțiu format din firma spaniolă Ferrovías del Sur și "
    "compania românească Terasament Invest, cu bani europeni.",
    "Când Elena Dumbravă a deschis, în 2011, prima brutărie cu maia din Iași, vecinii îi spuneau "
    "că nu va rezista nici șase luni. Astăzi are patru magazine, unul chiar lângă Palatul "
    "Culturii, și trimite pâine la restaurante din Suceava, Botoșani și Chișinău. Povestea a "
    "început la Lyon, unde Elena a plecat ca studentă la arhitectură și a ajuns, din întâmplare, "
    "să lucreze nopțile în cuptorul unui brutar bătrân, Gérard Maillot. „El m-a învățat că "
    "aluatul nu se grăbește niciodată”, își amintește ea. S-a întors acasă cu un borcan de maia "
    "în bagaj și cu opt mii de euro economisiți. Primul cuptor l-a cumpărat la mâna a doua de la "
    "o cantină din Pașcani. În timpul pandemiei, în martie 2020, a pierdut trei sferturi din "
    "clienți într-o săptămână, dar livrările cu bicicleta au salvat afacerea. Acum, firma ei, "
    "Pâinea de Copou, are 46 de angajați și o cifră de afaceri de 2,1 milioane de euro. Anul "
    "viitor vrea să deschidă o școală de panificație împreună cu Universitatea de Științe ale "
    "Vieții, pentru tinerii din satele județului Vaslui. A refuzat deja două oferte de cumpărare,"
    " una dintre ele venită de la un lanț de supermarketuri din Franța.",
    "Înalta Curte de Casație și Justiție a amânat pentru 9 octombrie pronunțarea în procesul în "
    "care fostul director al Portului Constanța, Valentin Grosu, este acuzat de luare de mită. "
    "Potrivit rechizitoriului întocmit de Direcția Națională Anticorupție, Grosu ar fi primit "
    "între 2014 și 2017 aproximativ 900.000 de euro de la doi oameni de afaceri pentru a prelungi"
    " contractele de închiriere a unor dane. Inculpatul neagă toate acuzațiile. Avocata lui, "
    "Mihaela Ionașcu, susține că banii reprezentau plata unui teren din Năvodari, vândut legal în"
    " fața unui notar din Medgidia. Procurorul de caz a cerut o pedeapsă de șapte ani de "
    "închisoare și confiscarea unui apartament din Mamaia. La termenul de marți au fost ascultați"
    " ultimii trei martori, printre care un fost secretar de stat din Ministerul Transporturilor."
    " Unul dintre oamenii de afaceri, cetățeanul turc Kemal Aydoğan, a recunoscut plățile și a "
    "încheiat în 2021 un acord cu procurorii. Dosarul a ajuns la instanța supremă după ce Curtea "
    "de Apel București a dispus, în februarie, achitarea a doi dintre cei cinci inculpați. "
    "Decizia de luna viitoare va fi definitivă, a precizat purtătorul de cuvânt al instanței.",
    "Expediția condusă de geologul Horia Zamfirescu a coborât sâmbătă la 312 metri adâncime în "
    "peștera Izvorul Tăușoarelor, din Munții Rodnei, unde a descoperit o galerie necartografiată."
    " Din echipă au făcut parte opt speologi din Bistrița, Cluj-Napoca și Reșița, un medic din "
    "Slovenia și o fotografă din Ungaria, Eszter Kovács. Galeria are o lungime de cel puțin 180 "
    "de metri și se termină într-un lac subteran cu apă limpede. „Am stat toți câteva minute în "
    "tăcere, cu lămpile stinse”, a povestit Zamfirescu pentru revista Munții Carpați. Probele de "
    "apă și de rocă vor fi analizate la Institutul de Speologie „Emil Racoviță”, iar primele "
    "rezultate sunt așteptate în noiembrie. Cercetătorii speră să afle de când datează "
    "formațiunile de gips de pe pereți și dacă lacul comunică cu izvorul de la Parva. Accesul "
    "publicului în peșteră este interzis încă din 1955. Administrația Parcului Național Munții "
    "Rodnei a anunțat că va întări paza la intrare, după ce doi tineri din Năsăud au fost prinși "
    "acolo în luna mai.",
    "Buna seara tuturor, revin cu povestea reclamatiei mele catre Romtelnet, poate ajuta pe "
    "cineva. Pe 3 februarie am cerut mutarea internetului din apartamentul vechi din Pitesti in "
    "casa noua de la Bascov. Domnisoara de la relatii cu clientii, Alina, mi-a spus ca dureaza "
    "maximum cinci zile lucratoare. Dupa doua saptamani nu venise nimeni, asa ca am mers personal"
    " la magazinul din centrul comercial Vivo. Acolo mi s-a spus ca cererea mea nu exista in "
    "sistem si ca trebuie sa o iau de la capat. Am scris atunci la ANCOM si la Protectia "
    "Consumatorului din Arges, cu toate documentele atasate. In mai putin de trei zile m-a sunat "
    "chiar seful de zona, domnul Ionescu, care s-a scuzat si a trimis o echipa din Mioveni. "
    "Baietii au lucrat impecabil si au terminat intr-o ora, iar abonamentul mi-a fost redus la "
    "jumatate pana in decembrie. Concluzia mea este ca merita sa insisti in scris, cu date si "
    "nume, nu la telefon. Multumesc si lui Cristi Voicu, de pe forum, care mi-a dat adresa "
    "corecta a autoritatii din Bucuresti si mi-a explicat, pe indelete, ce termene trebuie sa "
    "respecte compania conform contractului pe care l-am semnat inca din anul 2016.",
    "Comuna Cristian, de lângă Sibiu, a devenit în numai trei ani un exemplu pentru satele din "
    "jur. Primarul Hans-Georg Wächter, ales în 2020 cu sprijinul Forumului Democrat al "
    "Germanilor, a început cu un lucru mărunt: a cerut fiecărei familii să planteze un tei în "
    "fața casei. Au urmat canalizarea, o sală de sport și o linie de autobuz care leagă satul de "
    "Cisnădie și de Șelimbăr. Banii au venit din trei surse: fonduri europene, bugetul "
    "Consiliului Județean și donații strânse de sașii plecați la Nürnberg și la Drabenderhöhe. "
    "„Nu avem secrete, avem doar răbdare și facturi la vedere”, spune primarul, arătând spre "
    "panoul din piață pe care sunt afișate toate cheltuielile. Viceprimărița Ioana Bratu "
    "completează că, din 2021, la ședințele consiliului pot vorbi și elevii. Ideea a venit de la "
    "o învățătoare, Sanda Oprean, care a citit despre o experiență asemănătoare dintr-un sat din "
    "Finlanda. Copiii au cerut un teren de baschet, iar consiliul l-a aprobat în unanimitate. Nu "
    "toată lumea este mulțumită. Fermierul Ilie Todoran, care are două sute de oi la marginea "
    "comunei, se plânge că noile reguli de circulație îl obligă să ocolească patru kilometri. Iar"
    " familia Lazăr, proprietara singurului magazin din centru, se teme de supermarketul pe care "
    "compania austriacă Alpenmarkt vrea să îl deschidă în primăvara lui 2025. Primăria a promis "
    "un referendum local, programat pentru duminică, 24 noiembrie. Până atunci, oamenii se "
    "pregătesc de sărbătoarea recoltei, la care sunt așteptați oaspeți din Alba Iulia, Mediaș, "
    "Agnita și chiar din Luxemburg, orașul cu care Sibiul a fost capitală culturală europeană în "
    "2007.",
    "Ziua Porților Deschise la Observatorul Astronomic „Amiral Vasile Urseanu” a adunat duminică "
    "peste o mie de curioși, de la copii de grădiniță până la pensionari veniți tocmai de la "
    "Slobozia și Călărași. Coada începea pe bulevardul Lascăr Catargiu și ajungea până aproape de"
    " Piața Romană. Astronomul Ruxandra Pleșa a vorbit despre eclipsa din 12 august 2026, care va"
    " fi totală în Spania și Islanda și doar parțială în România. Cei mai mici au construit "
    "rachete din carton împreună cu voluntarii de la asociația Cer Senin, iar cei mari au privit "
    "prin luneta Zeiss, adusă la București în 1910. Seara, în ciuda norilor, publicul a reușit să"
    " vadă Saturn timp de vreo douăzeci de minute. „Nepotul meu nu mai vrea să se facă fotbalist "
    "la Dinamo, vrea să meargă la NASA”, a glumit Vasile Chiriță, un bunic din cartierul Drumul "
    "Taberei. Muzeul Municipiului București pregătește pentru toamnă o ediție asemănătoare la "
    "Palatul Suțu, cu invitați de la Agenția Spațială Română și de la Universitatea din Viena. "
    "Intrarea va fi liberă, dar locurile trebuie rezervate pe internet începând cu 1 septembrie.",
)

REVIEWS = (
    "Foarte mulțumită, recomand!",
    "Nu merită banii.",
    "Exact ce căutam, a ajuns a doua zi.",
    "S-a stricat dupa trei saptamani, dezamagita total.",
    "Un telefon bun la prețul lui, bateria ține două zile dacă nu te joci pe el.",
    "Ecranul este superb, însă difuzorul sună înfundat și la volum mare distorsionează.",
    "Am returnat produsul: culoarea din poză nu are nicio legătură cu ce am primit acasă.",
    "Il folosesc zilnic de un an si nu am avut nicio problema, merita fiecare leu.",
    "Cartea se citește pe nerăsuflate, dar traducerea are greșeli de tipar pe care un corector "
    "le-ar fi prins.",
    "Aspiratorul are putere mare, e silențios pentru clasa lui și se golește ușor; minus pentru"
    " cablul scurt, de numai cinci metri.",
    "Am cumpărat căștile pentru sală. După o lună butonul de volum s-a blocat, iar service-ul "
    "din Cluj le ține de trei săptămâni fără niciun răspuns. Nu mai cumpăr de la firma aceasta.",
    "Laptopul pornește în câteva secunde și nu se încălzește nici după ore de lucru. Tastatura "
    "este comodă, cu diacritice, iar ecranul se vede bine și afară. Singurul lucru care nu îmi "
    "place este camera, care face imagini șterse seara.",
    "Mașina de spălat a venit lovită într-un colț. Am sunat la magazin și curierul a schimbat-o"
    " a doua zi, fără discuții. De atunci spală impecabil, programul rapid chiar durează "
    "cincisprezece minute, iar la centrifugare abia se aude. Nota maximă și pentru magazin.",
    "Filmul promite mult în prima jumătate de oră, apoi se pierde în scene lungi în care nu se "
    "întâmplă nimic. Actorii fac ce pot cu replicile pe care le au, muzica este frumoasă, dar "
    "finalul pare scris în grabă de altcineva. Am ieșit din sală cu sentimentul că am văzut "
    "două filme lipite, dintre care doar primul era bun.",
    "Am stat patru zile la hotelul acesta, lângă lac. Camera era curată și mare, cu balcon, dar"
    " aerul condiționat picura pe covor și l-am oprit noaptea. Micul dejun este sărac: aceleași"
    " mezeluri în fiecare dimineață și o cafea apoasă. Personalul a fost însă atât de amabil, "
    "mai ales doamna de la recepție, încât poate mai încercăm o dată, în afara sezonului, când "
    "e mai puțină lume.",
    "Produs slab. Aplicatia se inchide singura, ceasul pierde conexiunea cu telefonul de cateva"
    " ori pe zi, iar pasii numarati sunt dublu fata de realitate. Am incercat resetarea, "
    "reinstalarea, alt telefon, am scris la suport si mi s-a raspuns cu un mesaj automat. "
    "Singurul lucru bun este cureaua, care e comoda. L-am trimis inapoi si astept de doua "
    "saptamani banii.",
)
"""Of products, films, hotels: opinions, for sentiment."""

UTTERANCES = (
    "set an alarm for 7 am tomorrow",
    "wake me up every weekday at six thirty",
    "will it rain in Iași this weekend",
    "remind me to call my sister when I get home",
    "play some jazz",
    "skip this song",
    "what's the traffic like to the airport",
    "how long will it take to drive from Cluj to Oradea right now",
    "send Ana a message saying I'm running ten minutes late",
    "do I have any reminders for Friday afternoon",
    "cancel my alarm",
    "find concerts near me next Saturday night",
    "book a table for four at an Italian restaurant in the old town on Sunday at noon",
    "add this album to my road trip playlist",
    "pon una alarma para las ocho de la mañana",
    "¿va a nevar mañana en la sierra?",
    "recuérdame comprar pan cuando salga del trabajo",
    "mándale un mensaje a Lucía diciendo que ya llegué",
    "wie wird das Wetter morgen in Hermannstadt",
    "stell den Wecker auf halb sieben",
    "erinnere mich am Montag an den Zahnarzt",
    "mets de la musique calme",
    "quel temps fera-t-il à Lyon demain soir",
    "rappelle-moi d'appeler Paul à midi",
)
"""What people tell an assistant, in four languages, for parse."""

TEXTS = HEADLINES + SENTENCES + PARAGRAPHS + ARTICLES
